"""What came out of a study: a row for each trial, as CSV, as JSON, and counted."""

import collections
import csv
import io
import json
import math
import statistics
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from gradthru_sweep.files import write_atomically
from gradthru_sweep.space import Point
from gradthru_sweep.store import Store, outcome, values_of
from gradthru_sweep.trial import read_summary, run_folders

STATES = ("complete", "diverged", "pruned", "failed", "running", "waiting")


@dataclass(frozen=True)
class Row:
    """A trial with all its attempts."""

    trial: int
    state: str
    params: Point
    value: float | None  # mean over seeds
    sd: float | None
    values: dict[str, float]  # by seed
    attempts: int
    wall_s: float | None  # of training, over all attempts
    elapsed_s: float | None  # of the last attempt, with everything
    why: str
    epoch: int | None  # of the intermediate value below
    intermediate: float | None


def rows_of(store: Store) -> list[Row]:
    return [_row(store, point, attempts) for point, attempts in sorted(store.attempts().items())]


def _row(store: Store, point: int, attempts: list[FrozenTrial]) -> Row:
    last = attempts[-1]
    values = last.user_attrs.get("values") or {}
    numbers = list(values.values())
    epoch = max(last.intermediate_values, default=None)
    state = _state(store, attempts)
    return Row(
        trial=point,
        state=state,
        params=values_of(last),
        value=sum(numbers) / len(numbers) if state == "complete" else None,
        sd=statistics.stdev(numbers) if state == "complete" and len(numbers) > 1 else None,
        values=values if state == "complete" else {},
        attempts=sum(a.state != TrialState.WAITING for a in attempts),
        wall_s=last.user_attrs.get("wall_s"),
        elapsed_s=last.user_attrs.get("elapsed_s"),
        why=last.user_attrs.get("why", ""),
        epoch=epoch,
        intermediate=None if epoch is None else last.intermediate_values[epoch],
    )


def _state(store: Store, attempts: list[FrozenTrial]) -> str:
    last = attempts[-1]
    if last.state == TrialState.RUNNING:
        return "running"
    if not store.is_over(attempts):
        return "waiting"
    return "failed" if last.state == TrialState.FAIL else outcome(last)


def counts(rows: list[Row]) -> dict[str, int]:
    found = collections.Counter(row.state for row in rows)
    return {state: found[state] for state in STATES}


def ranked(store: Store, rows: list[Row]) -> list[Row]:
    """The complete ones, best first."""
    sign = 1 if store.config.minimises else -1
    complete = [(sign * row.value, row) for row in rows if row.value is not None]
    return [row for _, row in sorted(complete, key=lambda pair: (pair[0], pair[1].trial))]


def final_values(store: Store, row: Row) -> dict[str, float]:
    """Every value that all the runs of a complete trial end with, as means over seeds."""
    if row.state != "complete":
        return {}
    folders = run_folders(store.folder_of(row.trial), store.config.seeds_of(row.params))
    finals = [(read_summary(folder) or {}).get("final", {}) for folder in folders.values()]
    names = [n for n in finals[0] if all(final.get(n) is not None for final in finals)]
    return {name: sum(final[name] for final in finals) / len(finals) for name in names}


def write_results(store: Store, rows: list[Row], found: dict[str, Any]) -> None:
    """trials.csv and results.json; `found` is what the charts say."""
    study = store.config
    finals = {row.trial: final_values(store, row) for row in rows}
    best = ranked(store, rows)[:1]
    as_json = {
        "v": 1,
        "study": study.name,
        "experiment": study.experiment,
        "preset": study.preset,
        "objective": study.objective,
        "direction": study.direction,
        "sampler": study.sampler,
        "seeds": study.seeds,
        "set": study.fixed,
        "optuna": optuna.__version__,
        "counts": counts(rows),
        "best": (
            {
                "trial": best[0].trial,
                "params": best[0].params,
                "value": best[0].value,
                "sd": best[0].sd,
            }
            if best
            else None
        ),
        **found,
        "trials": [_as_json(store, row, finals[row.trial]) for row in rows],
    }
    text = json.dumps(as_json, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(store.folder / "results.json", text + "\n")
    write_atomically(store.folder / "trials.csv", _csv(store, rows, finals))


def _as_json(store: Store, row: Row, final: dict[str, float]) -> dict[str, Any]:
    folder = store.folder_of(row.trial).relative_to(store.folder)
    entry: dict[str, Any] = {
        "trial": row.trial,
        "state": row.state,
        "params": row.params,
        "value": row.value,
        "sd": row.sd,
        "values": row.values,
        "final": final,
        "attempts": row.attempts,
        "wall_s": row.wall_s,
        "folder": str(folder),
    }
    if row.state == "pruned":
        entry["pruned_after_epoch"] = row.epoch
    if row.why:
        entry["why"] = row.why
    return entry


def _csv(store: Store, rows: list[Row], finals: dict[int, dict[str, float]]) -> str:
    names = list(dict.fromkeys(name for final in finals.values() for name in final))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [
            "trial",
            "state",
            *store.config.space,
            "value",
            "sd",
            "seeds",
            "attempts",
            "wall_s",
            *(f"final.{name}" for name in names),
            "folder",
        ]
    )
    for row in rows:
        table.writerow(
            [
                row.trial,
                row.state,
                *(_cell(row.params.get(key)) for key in store.config.space),
                *map(_cell, (row.value, row.sd, len(row.values) or None, row.attempts, row.wall_s)),
                *(_cell(finals[row.trial].get(name)) for name in names),
                store.folder_of(row.trial).relative_to(store.folder),
            ]
        )
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
