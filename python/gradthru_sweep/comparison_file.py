"""Files that compare temperatures: arms of a search that has one budget for all."""

import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradthru_sweep import study_file
from gradthru_sweep.mistake import Mistake, did_you_mean
from gradthru_sweep.space import VARIABLE, Point, toml_text
from gradthru_sweep.study import Study

SHARED = "experiment preset objective direction seed seeds workers threads retries".split()
KEYS = [*SHARED, *"comparison out report trials temperatures fresh_seeds control".split()]
KEYS += ["pairs", "set", "space", "arms"]
ONE, TWO = {"tau"}, {"tau_f", "tau_b"}


@dataclass(frozen=True)
class Arm:
    """A method with its temperatures left open: none, {tau}, or {tau_f} and {tau_b}."""

    name: str
    method: str
    temperatures: frozenset[str]
    search: Study

    @property
    def decoupled(self) -> bool:
        return self.temperatures == TWO


@dataclass(frozen=True)
class Comparison:
    """One file. Every arm is searched with the same number of trials, and the best of each is run
    again with `fresh_seeds`; `report` are the values that count then."""

    source: str
    name: str
    out: pathlib.Path
    report: list[str]
    fresh_seeds: list[int]
    control: str | None  # key that multiplies the learning rate below the variables
    arms: dict[str, Arm]
    pairs: list[tuple[str, str]]  # arms whose difference is told, first minus second
    table: dict[str, Any]  # the file

    def again(self, arm: Arm, kind: str, name: str, points: list[Point]) -> Study:
        """The study that runs points of an arm, each with every fresh seed."""
        seeded = [{**point, "seed": seed} for point in points for seed in self.fresh_seeds]
        rows = ",\n".join(
            "  {" + ", ".join(f"{k} = {toml_text(v)}" for k, v in p.items()) + "}" for p in seeded
        )
        head = _head(self.table, f"{kind}-{name}", skip=("seed", "seeds"))
        text = f'{head}sampler = "points"\npoints = [\n{rows},\n]\n{_set(self.table, arm.method)}'
        return study_file.parse(self.source, text, name, str(self.out / kind / name))


def is_comparison(path: pathlib.Path) -> bool:
    """Whether a file that can be read is one of these."""
    return "arms" in study_file.read_table(path)


def load(path: pathlib.Path, out: str | None, workers: int | None) -> Comparison:
    """Errors: Mistake, which names the file."""
    table = study_file.read_table(path)
    if workers:
        table["workers"] = workers
    with study_file.named(path):
        return _read(str(path), table, path.stem, out)


def _read(source: str, table: dict[str, Any], stem: str, out: str | None) -> Comparison:
    top = study_file.Reader(table, "", KEYS)
    name = top.text("comparison", stem)
    folder = pathlib.Path(out or top.text("out", f"runs/compare-{name}"))
    methods = top.inner("arms")
    if not methods:
        raise Mistake("arms: wants at least one, a name and a method with {tau} or so")
    arms = {key: _arm(source, table, key, method, folder) for key, method in methods.items()}
    control = top.text("control") if "control" in table else None
    if control and control in study_file.flat(top.inner("set"), "set"):
        raise Mistake(f"control: '{control}' is in [set] too")
    return Comparison(
        source=source,
        name=name,
        out=folder,
        report=_report(table),
        fresh_seeds=_fresh_seeds(table),
        control=control,
        arms=arms,
        pairs=_pairs(table.get("pairs"), arms),
        table=table,
    )


def _arm(source: str, table: dict[str, Any], name: str, method: Any, folder: pathlib.Path) -> Arm:
    if not re.fullmatch(r"[\w-]+", name) or not isinstance(method, str):
        raise Mistake(f"arms: wants names of letters, digits and _-, and methods; got '{name}'")
    used = set(VARIABLE.findall(method)) & (ONE | TWO)
    if used not in (set(), ONE, TWO):
        raise Mistake(f"arms: {name}: wants {{tau}}, or {{tau_f}} and {{tau_b}}, in '{method}'")
    text = _search_text(table, name, method, used)
    search = study_file.parse(source, text, name, str(folder / "arms" / name))
    return Arm(name, method, frozenset(used), search)


def _search_text(table: dict[str, Any], name: str, method: str, used: set[str]) -> str:
    space = {key: _axis_text(v) for key, v in study_file.flat(table.get("space", {}), "space").items()}
    for key in sorted(used):
        if key in space:
            raise Mistake(f"space: '{key}' is for temperatures")
        space = {key: toml_text(_temperatures(table)), **space}
    if not space:
        raise Mistake(f"arms: {name} has nothing to search: no temperature, and no [space]")
    trials = study_file.Reader(table, "", KEYS).integer("trials", None, 1)
    head = _head(table, name)
    if used == TWO:
        head += 'unequal = [["tau_f", "tau_b"]]\n'
    points = _points(table, used)
    if points is None or points > trials:
        head += f'sampler = "random"\ntrials = {trials}\n'
    lines = "".join(f"{key} = {value}\n" for key, value in space.items())
    return f"{head}\n{_set(table, method)}\n[space]\n{lines}"


def _points(table: dict[str, Any], used: set[str]) -> int | None:
    """How many points the grid of an arm has; None with a range in its space."""
    count = 1
    for values in study_file.flat(table.get("space", {}), "space").values():
        if not isinstance(values, list):
            return None
        count *= len(values)
    n = len(_temperatures(table)) if used else 1
    return count * (n * (n - 1) if used == TWO else n)


def _temperatures(table: dict[str, Any]) -> list[Any]:
    values = table.get("temperatures")
    if not isinstance(values, list) or len(values) < 2:
        raise Mistake(f"temperatures wants a list of at least two, got {values!r}")
    return values


def _report(table: dict[str, Any]) -> list[str]:
    names = table.get("report", [table.get("objective")])
    names = [names] if isinstance(names, str) else names
    good = isinstance(names, list) and names and all(isinstance(n, str) for n in names)
    if not good or any(n.partition(".")[0] not in ("best", "final", n) for n in names):
        raise Mistake(
            f"report wants values of summary.json such as best.test_loss, got {names!r}"
        )
    return list(dict.fromkeys(names))


def _fresh_seeds(table: dict[str, Any]) -> list[int]:
    fresh = study_file.read_seeds(table.get("fresh_seeds", "1..5"), "fresh_seeds")
    both = set(fresh) & set(study_file.read_seeds(table.get("seeds", "0")))
    if both:
        raise Mistake(f"fresh_seeds: {min(both)} is among seeds, by which the winners are chosen")
    return fresh


def _pairs(given: Any, arms: Mapping[str, Arm]) -> list[tuple[str, str]]:
    """Those that were asked for, else each decoupled arm and the same method with one
    temperature."""
    if given is None:
        return [
            (two.name, one.name)
            for two in arms.values()
            for one in arms.values()
            if two.decoupled and one.temperatures == ONE
            and two.method.replace("{tau_f}", "{tau}").replace("{tau_b}", "{tau}") == one.method
        ]
    if not isinstance(given, list) or not all(isinstance(p, list) and len(p) == 2 for p in given):
        raise Mistake(f'pairs wants pairs of arms, like [["a", "b"]], got {given!r}')
    for name in (name for pair in given for name in pair):
        if name not in arms:
            raise Mistake(f"pairs: '{name}' is no arm{did_you_mean(str(name), arms)}")
    return [(a, b) for a, b in given]


def _head(table: dict[str, Any], name: str, skip: tuple[str, ...] = ()) -> str:
    kept = [key for key in SHARED if key in table and key not in skip]
    return f'study = "{name}"\n' + "".join(f"{k} = {toml_text(table[k])}\n" for k in kept)


def _set(table: dict[str, Any], method: str) -> str:
    fixed = study_file.flat(table.get("set", {}), "set")
    if "method" in fixed:
        raise Mistake("set: 'method' belongs to [arms]")
    lines = {"method": method, **fixed}
    return "[set]\n" + "".join(f"{key} = {toml_text(value)}\n" for key, value in lines.items())


def _axis_text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml_text(v)}" for k, v in value.items()) + "}"
    return toml_text(value)
