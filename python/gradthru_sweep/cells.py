"""What a heatmap shows, in numbers: a cell for each pair of values of two keys."""

import itertools
from typing import Any

from gradthru_sweep.results import Row
from gradthru_sweep.space import Choices, Scalar, short
from gradthru_sweep.store import Store
from gradthru_sweep.study import Heatmap

Spec = dict[str, Any]
NOT_ASKED = "not asked for"  # the state of a pair that the study does not have


class Map:
    """The cells of a heatmap: one for each pair of values, with its value if there is one."""

    def __init__(self, store: Store, rows: list[Row], heatmap: Heatmap) -> None:
        self.study, self.heatmap = store.config, heatmap
        self.x_values = _ordered(self.study.space[heatmap.x])
        self.y_values = _ordered(self.study.space[heatmap.y])
        self.texts = {
            key: _texts(values)
            for key, values in ((heatmap.x, self.x_values), (heatmap.y, self.y_values))
        }
        self.others = [key for key in self.study.space if key not in (heatmap.x, heatmap.y)]
        self.cells = [
            self._cell(rows, x, y) for y, x in itertools.product(self.y_values, self.x_values)
        ]

    def _cell(self, rows: list[Row], x: Scalar, y: Scalar) -> Spec:
        here = [
            r
            for r in rows
            if r.params.get(self.heatmap.x) == x and r.params.get(self.heatmap.y) == y
        ]
        complete = [r for r in here if r.value is not None]
        cell: Spec = {
            "x": self.texts[self.heatmap.x][x],
            "y": self.texts[self.heatmap.y][y],
            "x_value": x,
            "y_value": y,
            "value": None,
            "sd": None,
            "trial": None,
            "diagonal": is_number(x) and x == y,
            "state": here[0].state if here else NOT_ASKED,
        }
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
        cells = [
            c for c in self.cells if c["value"] is not None and diagonal in (None, c["diagonal"])
        ]
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
            or (len(self.y_values) > 2 and best["y_value"] in (self.y_values[0], self.y_values[-1]))
        )
        return {
            "heatmap": {
                "x": self.heatmap.x,
                "y": self.heatmap.y,
                "over": self.heatmap.over if self.others else None,
                "cells": len(self.cells),
                "best": self._told(best),
                "best_on_border": border,
                "best_on_diagonal": self._told(self.best(diagonal=True)),
                "best_off_diagonal": self._told(self.best(diagonal=False)),
            }
        }

    def _told(self, cell: Spec | None) -> Spec | None:
        if cell is None:
            return None
        return {
            self.heatmap.y: cell["y_value"],
            self.heatmap.x: cell["x_value"],
            **{key: cell[key] for key in ("value", "sd", "trial")},
        }

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


def is_number(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _texts(values: list[Scalar]) -> dict[Scalar, str]:
    """How the values are written: short, unless two would look the same."""
    texts = {value: short(value) for value in values}
    return texts if len(set(texts.values())) == len(values) else {v: str(v) for v in values}


def _ordered(axis: Any) -> list[Scalar]:
    """Numbers by size, others as they were written."""
    assert isinstance(axis, Choices)
    return sorted(axis.values) if axis.numeric else list(axis.values)
