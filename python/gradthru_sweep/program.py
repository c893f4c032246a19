"""The program that runs the trials: what it says of settings before anything is run."""

import json
import os
import pathlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradthru_sweep.mistake import Mistake, did_you_mean
from gradthru_sweep.space import Point, label
from gradthru_sweep.study import Study


@dataclass(frozen=True)
class Times:
    """How long the parts of one run take; None where that could not be measured."""

    epochs: int
    steps: int
    start_s: float | None
    step_s: float | None
    epoch_end_s: float | None
    values: list[str]

    @property
    def total_s(self) -> float | None:
        if self.start_s is None or self.step_s is None or self.epoch_end_s is None:
            return None
        return self.start_s + self.steps * self.step_s + self.epochs * self.epoch_end_s


class Program:
    def __init__(self, path: str, study: Study) -> None:
        self.path, self.study = path, study
        self.environment = os.environ | {"OMP_NUM_THREADS": str(study.threads)}

    def run_command(self, point: Point, folder: pathlib.Path) -> list[str]:
        """One trial, started or gone on with."""
        return [*self.plain_command(point), "--out", str(folder), "--resume"]

    def plain_command(self, point: Point) -> list[str]:
        """What a user would type for one trial."""
        words = [
            self.path,
            "run",
            self.study.experiment,
            "--preset",
            self.study.preset,
            "--threads",
            str(self.study.threads),
        ]
        for assignment in self.study.assignments(point):
            words += ["--set", assignment]
        return words

    def check(self, points: Sequence[Point]) -> list[list[str]]:
        """The configuration of each point's runs, as hashes. Errors: Mistake for the first point
        that cannot be run, or that is not one run for each seed."""
        lines = [json.dumps(self.study.assignments(point)) for point in points]
        command = [self.path, "run", self.study.experiment, "--preset", self.study.preset]
        answers = self._ask([*command, "--dry-run=batch"], "\n".join(lines) + "\n")
        hashes = []
        for point, answer in zip(points, answers, strict=True):
            if "error" in answer:
                raise Mistake(f"{label(point)}: {answer['error']}")
            hashes.append([run["config_sha256"] for run in answer["runs"]])
            self._check_runs(point, answer["runs"])
        return hashes

    def times(self, point: Point) -> Times:
        """Measured here, on the first seed."""
        return self._times(point, "time")

    def startup_s(self) -> float:
        """How long the program takes to be there, measured here."""
        begin = time.monotonic()
        subprocess.run(
            [self.path, "--version"], check=True, capture_output=True, env=self.environment
        )
        return time.monotonic() - begin

    def check_objective(self, point: Point, times: Times) -> None:
        """Errors: Mistake if a run of the point does not end with the objective."""
        metric, known = self.study.metric, times.values
        if metric not in known and times.epochs > 1 and known:
            # Some values come with the last epoch only, and may take long.
            known = self._times(point, "last").values
        if known and metric not in known:
            raise Mistake(
                f"objective: a run of {self.study.experiment} has no '{metric}'"
                + did_you_mean(metric, known)
            )

    def _times(self, point: Point, what: str) -> Times:
        first = f'seeds="{self.study.seeds_of(point)[0]}"'
        # Nothing is made, so that no folder may lie in the way.
        command = [
            *self.plain_command(point),
            "--set",
            first,
            "--out",
            f"/nonexistent/{os.getpid()}",
        ]
        found = self._ask([*command, f"--dry-run={what}"], "")[0]
        return Times(**{key: found[key] for key in Times.__dataclass_fields__})

    def _ask(self, command: list[str], text: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, env=self.environment
        )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            why = said[-1].removeprefix("gradthru: ") if said else f"exit code {done.returncode}"
            if done.returncode == 2:
                raise Mistake(why)
            raise RuntimeError(f"gradthru run --dry-run: {why}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _check_runs(self, point: Point, runs: list[dict[str, Any]]) -> None:
        wanted, methods = len(self.study.seeds_of(point)), sorted({run["method"] for run in runs})
        if len(runs) == wanted:
            return
        if len(methods) > 1:
            names = ", ".join(methods)
            why = f"the preset has the methods {names}; give one method, in [set] or [space]"
        else:
            why = "the preset has a [grid]; give its keys in [set] or [space]"
        raise Mistake(f"a trial is one run per seed, but here it is {len(runs)}: {why}")
