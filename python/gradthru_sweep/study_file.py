"""Study files: what they may say, read and checked as far as that goes without the program."""

import contextlib
import os
import pathlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from gradthru_sweep import space as spaces
from gradthru_sweep.mistake import Mistake, did_you_mean
from gradthru_sweep.space import Choices, Space
from gradthru_sweep.study import Heatmap, Pruning, Study

SAMPLERS = ("grid", "points", "random", "tpe")
PRUNERS = ("median", "asha")
# What may change when a study is gone on with: how, not what.
RESUMABLE = ("workers", "threads", "retries", "trials", "heatmap")
KEYS = """
    study experiment preset out objective direction sampler trials seed seeds
    workers threads retries unequal set space points pruning heatmap
""".split()


class Reader:
    """Takes keys from a table, each with its type; what is left is unknown."""

    def __init__(self, table: dict[str, Any], where: str, known: Sequence[str]) -> None:
        self.table, self.where = table, where
        for key in table:
            if key not in known:
                raise Mistake(f"{where}unknown key '{key}'{did_you_mean(key, known)}")

    def text(self, key: str, default: str | None = None, among: Sequence[str] = ()) -> str:
        value = self._get(key, default)
        if not isinstance(value, str) or not value:
            raise Mistake(f"{self.where}{key} wants a text, got {value!r}")
        if among and value not in among:
            raise Mistake(f"{self.where}{key} wants {' or '.join(among)}, got '{value}'")
        return value

    def integer(self, key: str, default: int | None, least: int) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Mistake(f"{self.where}{key} wants an integer >= {least}, got {value!r}")
        return value

    def inner(self, key: str) -> dict[str, Any]:
        value = self.table.get(key, {})
        if not isinstance(value, dict):
            raise Mistake(f"{self.where}{key} wants a table [{key}], got {value!r}")
        return value

    def _get(self, key: str, default: Any) -> Any:
        if key not in self.table and default is None:
            raise Mistake(f"{self.where}{key} is missing")
        return self.table.get(key, default)


def load(path: pathlib.Path, out: str | None = None, name: str | None = None) -> Study:
    """`out` wins over the file's, `name` is for a file that has none. Errors: Mistake, which names
    the file."""
    text = _text(path)
    with named(path):
        return parse(str(path), text, name or path.stem, out)


def read_table(path: pathlib.Path) -> dict[str, Any]:
    """A file of any kind. Errors: Mistake, which names the file."""
    text = _text(path)
    with named(path):
        return tomllib.loads(text)


@contextlib.contextmanager
def named(path: pathlib.Path) -> Iterator[None]:
    """Mistakes get the name of the file."""
    try:
        yield
    except (Mistake, tomllib.TOMLDecodeError) as mistake:
        raise Mistake(f"{path}: {mistake}") from None


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no UTF-8"
        raise Mistake(f"cannot read '{path}': {why}") from None


def parse(source: str, text: str, stem: str, out: str | None) -> Study:
    """Errors: Mistake, or that of tomllib, without the source."""
    table = tomllib.loads(text)
    top = Reader(table, "", KEYS)
    name = top.text("study", stem)
    if not re.fullmatch(r"[\w.+-]+", name):
        raise Mistake(f"study wants letters, digits and ._+- only, got '{name}'")
    sampler = top.text("sampler", "grid", SAMPLERS)
    fixed = flat(top.inner("set"), "set")
    points = _points(table, sampler)
    lists = spaces.axes_of(points) if points else flat(top.inner("space"), "space")
    axes = {k: spaces.read_axis(k, v) for k, v in lists.items()}
    seeds = read_seeds(table.get("seeds", "0"))
    unequal = _unequal(table.get("unequal", []), axes, sampler)
    _check_names(fixed, axes, "seeds" in table)
    if not axes:
        raise Mistake("space: wants at least one key to search; [space] is empty or missing")
    for key, axis in axes.items():
        if sampler == "grid" and not isinstance(axis, Choices):
            raise Mistake(f"space: {key} is a range; the grid wants a list of values")
    if sampler in ("grid", "points") and "trials" in table:
        raise Mistake("trials is for random and tpe; a grid has as many as it has points")
    trials = 0 if sampler in ("grid", "points") else top.integer("trials", None, 1)
    plain: dict[str, Any] = {
        "study": name,
        "experiment": top.text("experiment"),
        "preset": top.text("preset", "smoke"),
        "objective": top.text("objective"),
        "direction": top.text("direction", "minimize", ("minimize", "maximize")),
        "sampler": sampler,
        "trials": trials,
        "seed": top.integer("seed", 0, 0),
        "seeds": seeds,
        "workers": top.integer("workers", len(os.sched_getaffinity(0)), 1),
        "threads": top.integer("threads", 1, 1),
        "retries": top.integer("retries", 2, 0),
        "unequal": [list(pair) for pair in unequal],
        "set": {k: spaces.toml_text(v) for k, v in fixed.items()},
        "space": {k: repr(axis) for k, axis in axes.items()},
        "points": [{k: spaces.toml_text(v) for k, v in point.items()} for point in points],
    }
    if plain["objective"].partition(".")[0] not in ("best", "final", plain["objective"]):
        raise Mistake(
            f"objective wants a value of summary.json such as test_nelbo or "
            f"best.test_nelbo, got '{plain['objective']}'"
        )
    pruning, heatmap = _pruning(top), _heatmap(top, axes)
    plain["pruning"] = repr(pruning)
    plain["heatmap"] = repr(heatmap)
    folder = pathlib.Path(out or top.text("out", f"runs/sweep-{name}"))
    return Study(
        source=source,
        text=text,
        name=name,
        out=folder,
        unequal=unequal,
        fixed=fixed,
        space=axes,
        points=points,
        pruning=pruning,
        heatmap=heatmap,
        plain=plain,
        **{
            k: plain[k]
            for k in (
                "experiment",
                "preset",
                "objective",
                "direction",
                "sampler",
                "trials",
                "seed",
                "seeds",
                "workers",
                "threads",
                "retries",
            )
        },
    )


def flat(table: dict[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    """Dotted names of nested tables, but for ranges."""
    result: dict[str, Any] = {}
    for key, value in table.items():
        is_range = where == "space" and isinstance(value, dict) and {"low", "high"} & set(value)
        if isinstance(value, dict) and not is_range:
            result |= flat(value, where, f"{prefix}{key}.")
        elif isinstance(value, (str, int, float, list, dict)):
            result[prefix + key] = value
        else:
            raise Mistake(f"{where}: {prefix}{key} wants a text, number, boolean or list")
    return result


def _points(table: dict[str, Any], sampler: str) -> list[spaces.Point]:
    """The tables [[points]], each with the same keys."""
    if ("points" in table) != (sampler == "points"):
        raise Mistake('points = [{key = value, …}, …] and sampler = "points" go together')
    if sampler != "points":
        return []
    given = table["points"]
    if (
        not isinstance(given, list)
        or not given
        or not all(isinstance(p, dict) and p for p in given)
    ):
        raise Mistake(f"points wants tables with keys and values, got {given!r}")
    if "space" in table or table.get("unequal"):
        raise Mistake("points say all; [space] and unequal are for the other samplers")
    points = [flat(point, "points") for point in given]
    for point in points:
        if set(point) != set(points[0]):
            names = f"{', '.join(points[0])} and {', '.join(point)}"
            raise Mistake(f"points: all want the same keys; {names} differ")
        for key, value in point.items():
            if not isinstance(value, (str, int, float)):
                raise Mistake(f"points: {key} wants a text, number or boolean, got {value!r}")
    return [{key: point[key] for key in points[0]} for point in points]


def read_seeds(value: Any, key: str = "seeds") -> list[int]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, str):
        if span := re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", value):
            value = list(range(int(span[1]), int(span[2]) + 1))
        elif re.fullmatch(r"\d{1,18}(,\d{1,18})*", value):
            value = [int(part) for part in value.split(",")]
    good = isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)
    if not good or not value or len(set(value)) < len(value) or len(value) > 10000:
        raise Mistake(f"{key} wants 0..4 or 0,2,5, each once, got {value!r}")
    return list(value)


def _unequal(value: Any, axes: Space, sampler: str) -> list[tuple[str, str]]:
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise Mistake(f'unequal wants pairs of keys of the space, like [["a", "b"]], got {value!r}')
    if value and sampler == "tpe":
        raise Mistake("unequal is for grid and random: the sampler tpe cannot keep to it")
    for key in (key for pair in value for key in pair):
        if key not in axes:
            raise Mistake(f"unequal: '{key}' is not in the space{did_you_mean(str(key), axes)}")
    return [(a, b) for a, b in value]


def _check_names(fixed: dict[str, Any], axes: Space, has_seeds: bool) -> None:
    for where, names in (("set", fixed), ("space", axes)):
        for name in names:
            if name in ("methods", "seeds", "grid") or name.startswith("grid."):
                raise Mistake(
                    f"{where}: '{name}' would give a trial several runs; wanted are method "
                    "(one estimator) here, seeds at the top of the file, lists in [space]"
                )
            if where == "set" and name in axes:
                raise Mistake(f"'{name}' is in [set] and in [space]")
    if "seed" in fixed:
        raise Mistake("set: 'seed' belongs to the top of the file, as seeds")
    if "seed" in axes and has_seeds:
        raise Mistake("seeds are at the top of the file and in [space]; one of the two is wanted")
    if "seed" in axes:
        axis = axes["seed"]
        if not isinstance(axis, Choices) or not all(type(v) is int and v >= 0 for v in axis.values):
            raise Mistake("space: seed wants a list of integers >= 0")
    for name in sorted(spaces.variables(fixed, axes)):
        if name not in fixed and name not in axes:
            raise Mistake(f"a template uses {{{name}}}, which is neither in [space] nor in [set]")
        if name == "method":
            raise Mistake("a template uses {method}, which is a setting of its own")


def _pruning(top: Reader) -> Pruning | None:
    table = top.inner("pruning")
    if "pruning" not in top.table:
        return None
    own = Reader(
        table, "pruning: ", ("method", "startup_trials", "warmup_epochs", "reduction_factor")
    )
    return Pruning(
        own.text("method", "median", PRUNERS),
        own.integer("startup_trials", 5, 0),
        own.integer("warmup_epochs", 1, 0),
        own.integer("reduction_factor", 3, 2),
    )


def _heatmap(top: Reader, axes: Space) -> Heatmap | None:
    """The axes that were asked for, else the first two lists of numbers, if there are two."""
    lists = [k for k, axis in axes.items() if isinstance(axis, Choices)]
    if "heatmap" not in top.table:
        numbers = [k for k in lists if axes[k].numeric and k != "seed"]  # type: ignore[union-attr]
        return Heatmap(x=numbers[1], y=numbers[0]) if len(numbers) >= 2 else None
    own = Reader(top.inner("heatmap"), "heatmap: ", ("x", "y", "over"))
    x, y = own.text("x"), own.text("y")
    for key in (x, y):
        if key not in lists:
            what = "is a range" if key in axes else "is not in the space"
            raise Mistake(f"heatmap: '{key}' {what}; wanted are two lists of the space")
    if x == y:
        raise Mistake(f"heatmap: x and y are both '{x}'")
    return Heatmap(x, y, own.text("over", "best", ("best", "mean")))
