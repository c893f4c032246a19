"""`gradthru sweep --plan`: what would run, and how long, from times measured here."""

import os
import shlex

from gradthru_sweep import store
from gradthru_sweep.coordinator import checked_points
from gradthru_sweep.live import duration
from gradthru_sweep.points import known_points, sample_points
from gradthru_sweep.program import Program
from gradthru_sweep.results import Row, counts, rows_of
from gradthru_sweep.space import Point, Scalar, label
from gradthru_sweep.study import Study

SHOWN = 20  # trials
KINDS = 8  # that are measured

Kind = tuple[tuple[str, Scalar], ...]


def kind_of(point: Point) -> Kind:
    """What the time of a run may depend on: everything but numbers with a fraction and seeds."""
    return tuple((k, v) for k, v in point.items() if not isinstance(v, float) and k != "seed")


def print_plan(study: Study, program: Program) -> int:
    """Errors: Mistake."""
    store.require_same(study, study.out)
    points = checked_points(study, program)
    rows = rows_of(store.Store(study.out)) if store.exists(study.out) else []
    runs = len(study.seeds)
    print(
        f"{study.name}: {len(points)} trials ({study.sampler}) of {study.experiment}, "
        f"preset {study.preset}, "
        f"{runs} {'run' if runs == 1 else 'runs'} each; {study.direction} {study.objective}"
    )
    for number, point in enumerate(points[:SHOWN]):
        said = label(point) if point is not None else "as the sampler says"
        print(f"  trial {number}: {said}" + _state(rows, number))
    if len(points) > SHOWN:
        print(f"  … and {len(points) - SHOWN} more")
    first = first_point(study, points)
    words = [os.path.basename(program.path), *program.plain_command(first)[1:]]
    print(f"{'trial 0' if points[0] else 'a trial'} is: {shlex.join(words)}")
    _print_time(study, program, points, rows)
    return 0


def first_point(study: Study, points: list[Point | None] | None = None) -> Point:
    """A point of a study, which may be the sampler's to choose."""
    points = known_points(study) if points is None else points
    return next((p for p in points if p is not None), None) or sample_points(study)[0]


def _state(rows: list[Row], number: int) -> str:
    return f" [{rows[number].state}]" if number < len(rows) else ""


def _print_time(
    study: Study, program: Program, points: list[Point | None], rows: list[Row]
) -> None:
    over = {row.trial for row in rows if row.state in ("complete", "diverged", "pruned", "failed")}
    left = [p for number, p in enumerate(points) if number not in over]
    if rows:
        print(
            f"there already: {', '.join(f'{n} {state}' for state, n in counts(rows).items() if n)}"
        )
    if not left:
        print("nothing is left to run")
        return
    seconds = _from_finished(rows) or {}
    seconds |= _measured(
        study, program, [p for p in left if p is not None] or sample_points(study), seconds
    )
    if not seconds:
        print("how long cannot be told: a run is not ready for its first update in a few seconds")
        return
    usual = sum(seconds.values()) / len(seconds)
    total = sum(seconds.get(kind_of(p), usual) if p is not None else usual for p in left)
    workers = min(study.workers, len(left))
    print(
        f"{len(left)} trials, {workers} {'worker' if workers == 1 else 'workers'}: "
        f"about {duration(total / workers)}" + (", less what is pruned" if study.pruning else "")
    )


def _from_finished(rows: list[Row]) -> dict[Kind, float]:
    """Seconds of a trial of each kind that has a complete one."""
    times: dict[Kind, list[float]] = {}
    for row in rows:
        if row.state == "complete" and row.elapsed_s:
            times.setdefault(kind_of(row.params), []).append(row.elapsed_s)
    found = {kind: sum(all_of) / len(all_of) for kind, all_of in times.items()}
    for kind, mean in found.items():
        print(f"finished{_named(kind)}: {duration(mean)} a trial")
    return found


def _measured(
    study: Study, program: Program, points: list[Point], known: dict[Kind, float]
) -> dict[Kind, float]:
    """Seconds of a trial of each kind that is not known yet: a few updates, one evaluation."""
    first = {kind_of(point): point for point in reversed(points)}
    found: dict[Kind, float] = {}
    startup_s = program.startup_s()
    for kind in reversed(first):
        if kind in known or len(found) == KINDS:
            continue
        times = program.times(first[kind])
        if times.total_s is None:
            continue
        runs = len(study.seeds_of(first[kind]))
        found[kind] = startup_s + runs * times.total_s
        print(
            f"measured{_named(kind)}: start {duration(startup_s + (times.start_s or 0))}, "
            f"{times.steps} updates of "
            f"{1e3 * (times.step_s or 0):.3g} ms, {times.epochs} evaluations of "
            f"{1e3 * (times.epoch_end_s or 0):.3g} ms: {duration(found[kind])} a trial"
        )
    return found


def _named(kind: Kind) -> str:
    return f" ({label(dict(kind))})" if kind else ""
