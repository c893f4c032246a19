"""The heatmap of a study and its lines, as SVG, drawn by Vega-Lite; and what they show, in numbers."""

import itertools
import math
from typing import Any

import vl_convert

from gradthru_sweep.files import write_atomically
from gradthru_sweep.results import Row
from gradthru_sweep.space import Choices, Scalar, short
from gradthru_sweep.store import Store
from gradthru_sweep.study_file import Heatmap

CELL = 46  # pixels
FRAME = "#ff4d2e"  # stands out from every colour of the map
EMPTY = "#d9d9d9"
MANY = 12  # values an axis may have for numbers to be written into cells
Spec = dict[str, Any]


class Map:
    """The cells of a heatmap: one for each pair of values, with its value if there is one."""

    def __init__(self, store: Store, rows: list[Row], heatmap: Heatmap) -> None:
        self.study, self.heatmap = store.config, heatmap
        self.x_values = _ordered(self.study.space[heatmap.x])
        self.y_values = _ordered(self.study.space[heatmap.y])
        self.others = [key for key in self.study.space if key not in (heatmap.x, heatmap.y)]
        self.cells = [self._cell(rows, x, y)
                      for y, x in itertools.product(self.y_values, self.x_values)]

    def _cell(self, rows: list[Row], x: Scalar, y: Scalar) -> Spec:
        here = [r for r in rows if r.params.get(self.heatmap.x) == x and r.params.get(self.heatmap.y) == y]
        complete = [r for r in here if r.value is not None]
        cell: Spec = {"x": short(x), "y": short(y), "x_value": x, "y_value": y, "value": None,
                      "sd": None, "trial": None, "diagonal": _is_number(x) and x == y,
                      "state": here[0].state if here else "not asked for"}
        cell["label"] = f"{self._place(cell)}: {cell['state']}"
        if not complete:
            return cell
        best = min(complete, key=lambda r: self._worse(r.value))
        cell |= {"state": "complete", "value": best.value, "sd": best.sd, "trial": best.trial}
        if self.heatmap.over == "mean" and self.others:
            mean = sum(r.value or 0.0 for r in complete) / len(complete)
            cell |= {"value": mean, "sd": None, "trial": None}
        cell["label"] = f"{self._place(cell)}: {cell['value']}"
        return cell

    def _worse(self, value: float | None) -> float:
        assert value is not None
        return value if self.study.minimises else -value

    def best(self, diagonal: bool | None = None) -> Spec | None:
        """The best cell: of all, of the diagonal, or of the rest."""
        cells = [c for c in self.cells
                 if c["value"] is not None and diagonal in (None, c["diagonal"])]
        return min(cells, key=lambda c: self._worse(c["value"])) if cells else None

    @property
    def title(self) -> str:
        over = f", {self.heatmap.over} over {', '.join(self.others)}" if self.others else ""
        seeds = f", mean of {len(self.study.seeds)} seeds" if len(self.study.seeds) > 1 else ""
        return f"{self.study.objective} of {self.study.experiment}{over}{seeds}"

    def found(self) -> Spec:
        """For results.json."""
        best = self.best()
        border = best is not None and (
            (len(self.x_values) > 2 and best["x_value"] in (self.x_values[0], self.x_values[-1]))
            or (len(self.y_values) > 2 and best["y_value"] in (self.y_values[0], self.y_values[-1])))
        return {"heatmap": {
            "x": self.heatmap.x, "y": self.heatmap.y, "over": self.heatmap.over if self.others else None,
            "cells": len(self.cells), "best": self._told(best), "best_on_border": border,
            "best_on_diagonal": self._told(self.best(diagonal=True)),
            "best_off_diagonal": self._told(self.best(diagonal=False))}}

    def _told(self, cell: Spec | None) -> Spec | None:
        if cell is None:
            return None
        return {self.heatmap.y: cell["y_value"], self.heatmap.x: cell["x_value"],
                **{key: cell[key] for key in ("value", "sd", "trial")}}

    def sentence(self) -> str:
        """Under the title: the best cell, and the best one of the diagonal."""
        best, diagonal = self.best(), self.best(diagonal=True)
        if best is None:
            return "no trial is complete"
        text = f"best {best['value']:.4g} at {self._place(best)}"
        if self.found()["heatmap"]["best_on_border"]:
            text += ", on the border"
        if diagonal is not None and not best["diagonal"]:
            text += f"; best on the diagonal {diagonal['value']:.4g} at {self._place(diagonal)}"
        return text

    def _place(self, cell: Spec) -> str:
        return f"{self.heatmap.y} {cell['y']}, {self.heatmap.x} {cell['x']}"

    def heatmap_spec(self) -> Spec:
        """A cell each; those of the diagonal in a frame, the best one with a star."""
        best = self.best()
        for cell in self.cells:
            cell["best"] = cell is best
        at: Spec = {
            "x": {"field": "x", "type": "ordinal", "title": self.heatmap.x,
                  "sort": [short(v) for v in self.x_values], "axis": {"labelAngle": 0}},
            "y": {"field": "y", "type": "ordinal", "title": self.heatmap.y,
                  "sort": [short(v) for v in reversed(self.y_values)]}}
        colour = {"field": "value", "type": "quantitative", "title": self.study.metric,
                  "scale": {"scheme": "viridis", "zero": False, "reverse": self.study.minimises},
                  "legend": {"format": ".4~g"}}
        with_value, without = ({"filter": f"{sign}isValid(datum.value)"} for sign in ("", "!"))
        layers: list[Spec] = [
            {"transform": [with_value], "mark": "rect",
             "encoding": {**at, "color": colour, "description": {"field": "label"}}},
            {"transform": [without], "mark": {"type": "rect", "color": EMPTY},
             "encoding": {**at, "description": {"field": "label"}}},
            {"transform": [without], "mark": {"type": "text", "fontSize": 8},
             "encoding": {**at, "text": {"field": "state"}}},
            {"transform": [{"filter": "datum.diagonal"}],
             "mark": {"type": "rect", "filled": False, "stroke": FRAME, "strokeWidth": 2.5},
             "encoding": {**at, "description": {"value": "diagonal"}}}]
        if max(len(self.x_values), len(self.y_values)) <= MANY:
            layers.append({
                "transform": [with_value, {"calculate": "(datum.best ? '★ ' : '') + "
                               f"format(datum.value, '.{self._digits()}~g')", "as": "written"}],
                "mark": {"type": "text", "fontSize": 10, "stroke": "white", "strokeWidth": 2.5,
                         "strokeOpacity": 0.75, "strokeJoin": "round"},
                "encoding": {**at, "text": {"field": "written"}}})
            layers.append({
                "transform": layers[-1]["transform"], "mark": {"type": "text", "fontSize": 10},
                "encoding": {**at, "text": {"field": "written"}}})
        return self._whole({"width": CELL * len(self.x_values), "height": CELL * len(self.y_values),
                            "layer": layers})

    def _digits(self) -> int:
        """Significant digits that tell the cells apart, within what a cell can hold."""
        values = [cell["value"] for cell in self.cells if cell["value"] is not None]
        spread = max(values) - min(values) if values else 0.0
        if spread == 0.0:
            return 3
        return min(5, max(3, 2 + math.ceil(math.log10(max(map(abs, values)) / spread))))

    def lines_spec(self) -> Spec:
        """Value over x, a line for each y; points of the diagonal have a ring."""
        numbers = all(_is_number(v) for v in self.x_values)
        spans = numbers and float(min(self.x_values)) > 0
        x: Spec = {"field": "x_value", "type": "quantitative" if numbers else "ordinal",
                   "title": self.heatmap.x}
        if numbers:
            x["scale"] = {"type": "log" if spans else "linear", "zero": False, "nice": False, "padding": 12}
            x["axis"] = {"values": self.x_values, "format": "~g", "labelOverlap": True}
        at: Spec = {"x": x,
                    "y": {"field": "value", "type": "quantitative", "title": self.study.metric,
                          "scale": {"zero": False}},
                    "color": {"field": "y", "type": "ordinal", "title": self.heatmap.y,
                              "sort": [short(v) for v in self.y_values],
                              "scale": {"scheme": "viridis"}}}
        layers: list[Spec] = []
        if any(cell["sd"] is not None for cell in self.cells):
            layers.append({
                "transform": [{"filter": "isValid(datum.sd)"},
                              {"calculate": "datum.value - datum.sd", "as": "low"},
                              {"calculate": "datum.value + datum.sd", "as": "high"}],
                "mark": {"type": "rule", "opacity": 0.6},
                "encoding": {**at, "y": {**at["y"], "field": "low"}, "y2": {"field": "high"}}})
        layers += [
            {"mark": "line", "encoding": at},
            {"mark": {"type": "point", "filled": True, "size": 30}, "encoding": at},
            {"transform": [{"filter": "datum.diagonal"}],
             "mark": {"type": "point", "size": 110, "color": FRAME, "strokeWidth": 2},
             "encoding": {"x": at["x"], "y": at["y"]}}]
        return self._whole({"width": 420, "height": 280, "layer": layers,
                            "transform": [{"filter": "isValid(datum.value)"}]})

    def _whole(self, spec: Spec) -> Spec:
        title = {"text": self.title, "subtitle": self.sentence(), "anchor": "start", "fontSize": 12}
        return {"title": title, "data": {"values": self.cells}, "background": "white", "padding": 8,
                "config": {"axis": {"grid": False}}, **spec}


def _is_number(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _ordered(axis: Any) -> list[Scalar]:
    """Numbers by size, others as they were written."""
    assert isinstance(axis, Choices)
    return sorted(axis.values) if axis.numeric else list(axis.values)


def write_charts(store: Store, rows: list[Row]) -> Spec:
    """heatmap.svg and lines.svg, where the study has two axes for them. What they show."""
    heatmap = store.config.heatmap
    if heatmap is None:
        return {}
    cells = Map(store, rows, heatmap)
    for name, spec in (("heatmap", cells.heatmap_spec()), ("lines", cells.lines_spec())):
        write_atomically(store.folder / f"{name}.svg", vl_convert.vegalite_to_svg(spec) + "\n")
    return cells.found()
