"""Temperatures compared: every arm is searched, its winner runs again, and so does the control."""

import dataclasses
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradthru_sweep import comparison_report, plan
from gradthru_sweep.comparison_file import Arm, Comparison
from gradthru_sweep.coordinator import DONE, FAILED, INTERRUPTED, Coordinator, open_study
from gradthru_sweep.differences import Winner
from gradthru_sweep.mistake import Mistake
from gradthru_sweep.program import Program
from gradthru_sweep.results import Row, ranked, rows_of
from gradthru_sweep.space import Point, label
from gradthru_sweep.store import Store, require_same
from gradthru_sweep.study import Study
from gradthru_sweep.trial import read_summary


@dataclass(frozen=True)
class Searched:
    """An arm whose search is over, and its best trial."""

    arm: Arm
    store: Store
    rows: list[Row]
    best: Row


class Runner:
    def __init__(self, comparison: Comparison, program: str, retry_failed: bool) -> None:
        self.comparison, self.program, self.retry_failed = comparison, program, retry_failed
        self.failed = False

    def run(self) -> int:
        """Errors: Mistake, before any work."""
        comparison = self.comparison
        stores = {name: self._open(arm.search) for name, arm in comparison.arms.items()}
        searched: dict[str, Searched] = {}
        for i, (name, store) in enumerate(stores.items(), 1):
            print(f"\narm {name}, {i} of {len(stores)}")
            if self._sweep(store) == INTERRUPTED:
                return INTERRUPTED
            rows = rows_of(store)
            if best := ranked(store, rows)[:1]:
                searched[name] = Searched(comparison.arms[name], store, rows, best[0])
        winners: dict[str, Winner] = {}
        for name, one in searched.items():
            print(f"\nwinner of {name}: {label(one.best.params)}")
            if (found := self._again(one, "winners", name, {})) is None:
                return INTERRUPTED
            winners[name] = found
        controls: dict[tuple[str, str], Winner] = {}
        for first, second in comparison.pairs:
            if first not in winners or second not in winners or not comparison.control:
                continue
            factor = _matching_factor(searched[first].best, searched[second].best)
            if factor is None:
                continue
            print(f"\ncontrol of {first} and {second}: {comparison.control} = {factor:.4g}")
            more: Point = {comparison.control: factor}
            found = self._again(searched[second], "controls", f"{second}-for-{first}", more)
            if found is None:
                return INTERRUPTED
            controls[first, second] = found
        comparison_report.write(comparison, searched, winners, controls)
        print(f"\n{(comparison.out / comparison_report.PAGE).read_text()}")
        return FAILED if self.failed else DONE

    def check(self) -> None:
        """All that can be told before any work. Errors: Mistake."""
        comparison = self.comparison
        arms = list(comparison.arms.values())
        for arm in arms:
            require_same(arm.search, arm.search.out)
            Program(self.program, arm.search).check([plan.first_point(arm.search)])
        for name in comparison.report:
            study = dataclasses.replace(arms[0].search, objective=name)
            program = Program(self.program, study)
            point = plan.first_point(study)
            program.check_objective(point, program.times(point))
        if comparison.control:
            for arm in arms:
                point = {**plan.first_point(arm.search), comparison.control: 0.5}
                again = comparison.again(arm, "controls", arm.name, [point])
                Program(self.program, again).check(again.points[:1])

    def _open(self, study: Study) -> Store:
        return open_study(study, Program(self.program, study), join=False)

    def _sweep(self, store: Store) -> int:
        if self.retry_failed and (again := store.retry_failed()):
            print(f"{again} failed trials are run again")
        code = Coordinator(store, self.program, store.config.workers).run()
        self.failed |= code == FAILED
        return code

    def _again(self, one: Searched, kind: str, name: str, more: Point) -> Winner | None:
        """A point with every fresh seed; None if that was interrupted."""
        point = {**one.best.params, **more}
        store = self._open(self.comparison.again(one.arm, kind, name, [point]))
        if self._sweep(store) == INTERRUPTED:
            return None
        values = {
            int(row.params["seed"]): _reported(store.folder_of(row.trial), self.comparison.report)
            for row in rows_of(store)
            if row.state == "complete"
        }
        return Winner(point, values, len(self.comparison.fresh_seeds) - len(values))


def _reported(folder: pathlib.Path, names: Sequence[str]) -> dict[str, float]:
    summary: dict[str, Any] = read_summary(folder) or {}
    found = {}
    for name in names:
        part, _, key = name.rpartition(".")
        found[name] = float(summary[part or "final"][key])
    return found


def _matching_factor(two: Row, one: Row) -> float | None:
    """tau / tau_b: with it the diagonal's gradient has the size that tau_b would give it."""
    if "tau" not in one.params or "tau_b" not in two.params:
        return None
    return float(one.params["tau"]) / float(two.params["tau_b"])


def compare(comparison: Comparison, program: str, join: bool, retry_failed: bool) -> int:
    """Errors: Mistake."""
    if join:
        first = comparison.out / "arms" / next(iter(comparison.arms)) / "study.toml"
        raise Mistake(f"--join is for one study; those of this comparison are such as {first}")
    runner = Runner(comparison, program, retry_failed)
    with_name(comparison, runner.check)
    return runner.run()


def with_name(comparison: Comparison, check: Any) -> None:
    try:
        check()
    except Mistake as mistake:
        raise Mistake(f"{comparison.source}: {mistake}") from None


def print_plan(comparison: Comparison, program: str) -> int:
    """Errors: Mistake."""
    with_name(comparison, Runner(comparison, program, False).check)
    for arm in comparison.arms.values():
        print(f"arm {arm.name}: {arm.method}")
        plan.print_plan(arm.search, Program(program, arm.search))
    runs = len(comparison.arms) + (len(comparison.pairs) if comparison.control else 0)
    seeds = len(comparison.fresh_seeds)
    print(f"then {runs} points, winners and controls, with {seeds} fresh seeds each")
    return DONE
