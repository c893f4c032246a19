"""What a study searches: lists of choices and ranges, and how a point becomes settings of a run."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradthru_sweep.mistake import Mistake

Scalar = str | int | float | bool
Point = dict[str, Scalar]
VARIABLE = re.compile(r"\{([\w.-]+)\}")


@dataclass(frozen=True)
class Choices:
    """One of these. A list among them is kept as its TOML text."""

    values: tuple[Scalar, ...]
    is_list: bool = False

    @property
    def numeric(self) -> bool:
        return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in self.values)


@dataclass(frozen=True)
class Range:
    """From low to high, both included; integers if both ends are."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Axis = Choices | Range
Space = dict[str, Axis]


def toml_text(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_text, value)) + "]"
    return repr(value)


def read_axis(name: str, value: Any) -> Axis:
    """Errors: Mistake."""
    where = f"space: {name}"
    if isinstance(value, list):
        return _read_choices(where, value)
    if isinstance(value, dict):
        return _read_range(where, value)
    raise Mistake(f"{where}: wants a list of values or {{low = …, high = …}}, got {value!r}")


def _read_choices(where: str, values: list[Any]) -> Choices:
    if not values:
        raise Mistake(f"{where}: wants at least one value, got []")
    is_list = isinstance(values[0], list)
    if any(isinstance(v, list) != is_list for v in values):
        raise Mistake(f"{where}: lists and single values do not mix")
    if is_list:
        values = [toml_text(v) for v in values]
    for i, value in enumerate(values):
        if not isinstance(value, (str, int, float)):
            raise Mistake(f"{where}: wants texts, numbers, booleans or lists, got {value!r}")
        if value != value or value in values[:i]:
            raise Mistake(f"{where}: {value!r} is there twice, or is no number")
    return Choices(tuple(values), is_list)


def _read_range(where: str, table: dict[str, Any]) -> Range:
    if unknown := sorted(set(table) - {"low", "high", "log", "step"}):
        raise Mistake(f"{where}: a range has low, high, log and step, got '{unknown[0]}'")
    numbers = {key: table.get(key) for key in ("low", "high", "step")}
    for key, number in numbers.items():
        missing = number is None and key == "step"
        if not missing and (isinstance(number, bool) or not isinstance(number, (int, float))):
            raise Mistake(f"{where}: {key} wants a number, got {number!r}")
    low, high, step, log = table["low"], table["high"], table.get("step"), table.get("log", False)
    if not isinstance(log, bool):
        raise Mistake(f"{where}: log wants true or false, got {log!r}")
    if not low < high or abs(low) == float("inf") or abs(high) == float("inf"):
        raise Mistake(f"{where}: wants low < high, both finite, got {low} and {high}")
    if log and (low <= 0 or step is not None):
        raise Mistake(f"{where}: a range with log wants low > 0 and no step")
    if step is not None and step <= 0:
        raise Mistake(f"{where}: step wants a number > 0, got {step}")
    found = Range(low, high, log, step)
    if found.integer and isinstance(step, float):
        raise Mistake(f"{where}: the step of a range of integers wants an integer, got {step}")
    return found


def grid(space: Space, unequal: Sequence[tuple[str, str]]) -> Iterator[Point]:
    """Every choice of one value each, the last key fastest."""
    axes = [axis.values for axis in space.values() if isinstance(axis, Choices)]
    for values in itertools.product(*axes):
        point = dict(zip(space, values, strict=True))
        if allowed(point, unequal):
            yield point


def axes_of(points: Sequence[Point]) -> dict[str, list[Scalar]]:
    """The values that points have, by key, in the order they come."""
    values: dict[str, list[Scalar]] = {name: [] for name in points[0]}
    for point in points:
        for name, value in point.items():
            if value not in values[name]:
                values[name].append(value)
    return values


def allowed(point: Point, unequal: Sequence[tuple[str, str]]) -> bool:
    return all(point[a] != point[b] for a, b in unequal)


def variables(fixed: Mapping[str, Any], space: Space) -> set[str]:
    """The names that templates use: `st(tau_f={tau_f})`."""
    texts = [v for v in fixed.values() if isinstance(v, str)]
    for axis in space.values():
        if isinstance(axis, Choices):
            texts += [v for v in axis.values if isinstance(v, str)]
    return {name for text in texts for name in VARIABLE.findall(text)}


def assignments(fixed: Mapping[str, Any], space: Space, point: Point) -> list[str]:
    """The settings of one trial, as `--set` takes them, seeds excepted. A name that a template uses
    is no setting of its own; `method` is the one estimator; `seed` gives the run's seed."""
    values: dict[str, Any] = {**fixed, **point}
    used = variables(fixed, space)
    raw = {name for name, axis in space.items() if isinstance(axis, Choices) and axis.is_list}

    def filled(match: re.Match[str]) -> str:
        value = values[match[1]]
        return value if isinstance(value, str) else toml_text(value)

    result = []
    for name, value in values.items():
        if name in used or name == "seed":
            continue
        if isinstance(value, str):
            value = VARIABLE.sub(filled, value)
        if name == "method":
            result.append(f"methods=[{toml_text(value)}]")
        else:
            result.append(f"{name}={value if name in raw else toml_text(value)}")
    return result


def label(point: Mapping[str, Scalar]) -> str:
    """A point for people: tau_f=0.5 tau_b=1."""
    return " ".join(f"{name}={short(value)}" for name, value in point.items())


def short(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
