"""The heatmap of a study and its lines, as SVG, drawn by Vega-Lite."""

import math
import pathlib

import vl_convert

from gradthru_sweep.cells import NOT_ASKED, Map, Spec, is_number
from gradthru_sweep.files import write_atomically
from gradthru_sweep.results import Row
from gradthru_sweep.store import Store

CELL = 46  # pixels
FRAME = "#ff4d2e"  # stands out from every colour of the map
EMPTY = "#d9d9d9"
MANY = 12  # values an axis may have for numbers to be written into cells


class Drawing(Map):
    """The cells, and the specifications of their charts."""

    def heatmap_spec(self) -> Spec:
        """A cell each; those of the diagonal in a frame, the best one with a star."""
        best = self.best()
        for cell in self.cells:
            cell["best"] = cell is best
        at: Spec = {
            "x": {
                "field": "x",
                "type": "ordinal",
                "title": self.heatmap.x,
                "sort": [*self.texts[self.heatmap.x].values()],
                "axis": {"labelAngle": 0},
            },
            "y": {
                "field": "y",
                "type": "ordinal",
                "title": self.heatmap.y,
                "sort": [*reversed(self.texts[self.heatmap.y].values())],
            },
        }
        colour = {
            "field": "value",
            "type": "quantitative",
            "title": self.study.metric,
            "scale": {"scheme": "viridis", "zero": False, "reverse": self.study.minimises},
            "legend": {"format": ".4~g"},
        }
        with_value, without = ({"filter": f"{sign}isValid(datum.value)"} for sign in ("", "!"))
        layers: list[Spec] = [
            {
                "transform": [with_value],
                "mark": "rect",
                "encoding": {**at, "color": colour, "description": {"field": "label"}},
            },
            {
                "transform": [without],
                "mark": {"type": "rect", "color": EMPTY},
                "encoding": {**at, "description": {"field": "label"}},
            },
            {
                "transform": [without, {"filter": f"datum.state !== '{NOT_ASKED}'"}],
                "mark": {"type": "text", "fontSize": 8},
                "encoding": {**at, "text": {"field": "state"}},
            },
            {
                "transform": [{"filter": "datum.diagonal"}],
                "mark": {"type": "rect", "filled": False, "stroke": FRAME, "strokeWidth": 2.5},
                "encoding": {**at, "description": {"value": "diagonal"}},
            },
        ]
        if max(len(self.x_values), len(self.y_values)) <= MANY:
            layers.append(
                {
                    "transform": [
                        with_value,
                        {
                            "calculate": "(datum.best ? '★ ' : '') + "
                            f"format(datum.value, '.{self._digits()}~g')",
                            "as": "written",
                        },
                    ],
                    "mark": {
                        "type": "text",
                        "fontSize": 10,
                        "stroke": "white",
                        "strokeWidth": 2.5,
                        "strokeOpacity": 0.75,
                        "strokeJoin": "round",
                    },
                    "encoding": {**at, "text": {"field": "written"}},
                }
            )
            layers.append(
                {
                    "transform": layers[-1]["transform"],
                    "mark": {"type": "text", "fontSize": 10},
                    "encoding": {**at, "text": {"field": "written"}},
                }
            )
        return self._whole(
            {
                "width": CELL * len(self.x_values),
                "height": CELL * len(self.y_values),
                "layer": layers,
            }
        )

    def _digits(self) -> int:
        """Significant digits that tell the cells apart, within what a cell can hold."""
        values = [cell["value"] for cell in self.cells if cell["value"] is not None]
        spread = max(values) - min(values) if values else 0.0
        if spread == 0.0:
            return 3
        return min(5, max(3, 2 + math.ceil(math.log10(max(map(abs, values)) / spread))))

    def lines_spec(self) -> Spec:
        """Value over x, a line for each y; points of the diagonal have a ring."""
        numbers = all(is_number(v) for v in self.x_values)
        spans = numbers and float(min(self.x_values)) > 0
        x: Spec = {
            "field": "x_value",
            "type": "quantitative" if numbers else "ordinal",
            "title": self.heatmap.x,
        }
        if numbers:
            x["scale"] = {
                "type": "log" if spans else "linear",
                "zero": False,
                "nice": False,
                "padding": 12,
            }
            x["axis"] = {"values": self.x_values, "format": "~g", "labelOverlap": True}
        at: Spec = {
            "x": x,
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": self.study.metric,
                "scale": {"zero": False},
            },
            "color": {
                "field": "y",
                "type": "ordinal",
                "title": self.heatmap.y,
                "sort": [*self.texts[self.heatmap.y].values()],
                "scale": {"scheme": "viridis"},
            },
        }
        layers: list[Spec] = []
        if any(cell["sd"] is not None for cell in self.cells):
            layers.append(
                {
                    "transform": [
                        {"filter": "isValid(datum.sd)"},
                        {"calculate": "datum.value - datum.sd", "as": "low"},
                        {"calculate": "datum.value + datum.sd", "as": "high"},
                    ],
                    "mark": {"type": "rule", "opacity": 0.6},
                    "encoding": {**at, "y": {**at["y"], "field": "low"}, "y2": {"field": "high"}},
                }
            )
        layers += [
            {"mark": "line", "encoding": at},
            {"mark": {"type": "point", "filled": True, "size": 30}, "encoding": at},
            {
                "transform": [{"filter": "datum.diagonal"}],
                "mark": {"type": "point", "size": 110, "color": FRAME, "strokeWidth": 2},
                "encoding": {"x": at["x"], "y": at["y"]},
            },
        ]
        return self._whole(
            {
                "width": 420,
                "height": 280,
                "layer": layers,
                "transform": [{"filter": "isValid(datum.value)"}],
            }
        )

    def _whole(self, spec: Spec) -> Spec:
        title = {"text": self.title, "subtitle": self.sentence(), "anchor": "start", "fontSize": 12}
        return {
            "title": title,
            "data": {"values": self.cells},
            "background": "white",
            "padding": 8,
            "config": {"axis": {"grid": False}},
            **spec,
        }


def write_charts(store: Store, rows: list[Row]) -> Spec:
    """heatmap.svg and lines.svg, where the study has two axes for them. What they show."""
    heatmap = store.config.heatmap
    if heatmap is None:
        return {}
    cells = Drawing(store, rows, heatmap)
    for name, spec in (("heatmap", cells.heatmap_spec()), ("lines", cells.lines_spec())):
        write_svg(store.folder / f"{name}.svg", spec)
    return cells.found()


def write_svg(path: pathlib.Path, spec: Spec) -> None:
    write_atomically(path, vl_convert.vegalite_to_svg(spec) + "\n")
