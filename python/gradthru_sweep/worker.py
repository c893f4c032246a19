"""A worker: takes trials from the queue of a study until nothing is left to do."""

import pathlib
import signal
import time
from types import FrameType

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from gradthru_sweep import points
from gradthru_sweep.alive import Presence
from gradthru_sweep.program import Program
from gradthru_sweep.store import Store
from gradthru_sweep.study import Pruning
from gradthru_sweep.trial import Child, Intermediate, Result, in_use, result_of, run_folders

LEAST_POLL_S, MOST_POLL_S = 0.02, 0.25
IDLE_S = 0.5
IN_USE_S = 60.0
IN_USE = "is in use by another process"  # as the program says it


def pruner_of(pruning: Pruning | None) -> BasePruner:
    if pruning is None:
        return NopPruner()
    if pruning.method == "median":
        return MedianPruner(pruning.startup_trials, pruning.warmup_epochs)
    return SuccessiveHalvingPruner(max(1, pruning.warmup_epochs), pruning.reduction_factor)


class Worker:
    def __init__(self, folder: pathlib.Path, name: str, program: str) -> None:
        self.store = Store(folder)
        self.config = self.store.config
        self.program = Program(program, self.config)
        self.presence = Presence(self.store.folder / "workers", name)
        self.stopping = False
        self.store.study.pruner = pruner_of(self.config.pruning)

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        with self.presence:
            while not self.stopping:
                trial = self.store.take(self.presence.name, self.presence.is_alive)
                if trial is not None:
                    self._run(trial)
                elif all(map(self.store.is_over, self.store.attempts().values())):
                    return 0
                else:
                    # Others are at work on the rest, and may die of it.
                    time.sleep(IDLE_S)
        return 130

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _run(self, trial: optuna.Trial) -> None:
        study = self.store.study
        study.sampler = points.sampler_for(self.config, trial.user_attrs["point"])
        point = points.suggested(trial, self.config.space)
        begin = time.monotonic()
        result = self._watched(trial, point)
        try:
            trial.set_user_attr("elapsed_s", time.monotonic() - begin)
            trial.set_user_attr("wall_s", result.wall_s)
            trial.set_user_attr("values", result.values)
            if result.why:
                trial.set_user_attr("why", result.why)
            trial.set_user_attr("outcome", result.outcome)
            if result.outcome == "complete":
                study.tell(trial, result.mean)
            elif result.outcome == "diverged":
                # The worst there is, for the sampler to keep away from.
                study.tell(trial, float("inf") if self.config.minimises else float("-inf"))
            elif result.outcome == "pruned":
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, state=TrialState.FAIL)
        except (ValueError, RuntimeError):
            pass  # given up by another machine that took this worker for dead

    def _watched(self, trial: optuna.Trial, point: dict[str, str | int | float | bool]) -> Result:
        number = trial.user_attrs["point"]
        folder, seeds = self.store.folder_of(number), self.config.seeds_of(point)
        news, deadline = Intermediate(self.config.metric), time.monotonic() + IN_USE_S
        while True:
            # The run that a dead worker left is saving.
            while any(in_use(f) for f in (folder, *run_folders(folder, seeds).values())):
                if self.stopping:
                    return Result("interrupted")
                if time.monotonic() > deadline:
                    return Result("failed", f"{folder} {IN_USE}")
                time.sleep(LEAST_POLL_S)
            child = Child(
                self.program.run_command(point, folder),
                self.program.environment,
                self.store.log_of(number),
            )
            result = self._result(trial, child, news, folder, seeds)
            # That run may also have been about to begin.
            if not (result.outcome == "refused" and result.why.endswith(IN_USE)):
                return result
            if time.monotonic() > deadline:
                return Result("failed", result.why)
            time.sleep(LEAST_POLL_S)

    def _result(
        self,
        trial: optuna.Trial,
        child: Child,
        news: Intermediate,
        folder: pathlib.Path,
        seeds: list[int],
    ) -> Result:
        pruned, poll, code = False, LEAST_POLL_S, None
        while code is None:
            code = child.wait(poll)
            poll = min(2 * poll, MOST_POLL_S)
            # The first seed decides: it is the same for all trials.
            first = run_folders(folder, seeds).get(seeds[0])
            try:
                for epoch, value in news.read(first) if first else ():
                    trial.report(value, epoch)
                    pruned = pruned or (code is None and trial.should_prune())
            except UpdateFinishedTrialError:
                child.interrupt()  # given up, as above: another worker goes on with the run
            if pruned or self.stopping:
                child.interrupt()
        news.close()
        result = result_of(code, child.complaint, run_folders(folder, seeds), self.config.objective)
        if result.outcome == "failed" and code in (130, -signal.SIGINT) and child.interrupted:
            result.outcome, result.why = ("pruned" if pruned else "interrupted"), ""
        return result
