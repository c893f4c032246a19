"""The folder of a study: its storage, and the queue of trials that workers share.

Optuna's storage is a journal: one file that processes of any machine append to. Its own detection
of dead workers (heartbeats) exists for databases only, so that is ours (alive.py): a trial whose
worker is gone is told as failed, and its point is put in the queue again, until it has failed
`retries` + 1 times.

An attempt is a trial of Optuna's; a trial of ours is a point with all its attempts, known by
`point`.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from gradthru_sweep import study_file
from gradthru_sweep.files import is_temporary, write_atomically
from gradthru_sweep.locks import OwnedLock, held
from gradthru_sweep.mistake import Mistake
from gradthru_sweep.space import Point
from gradthru_sweep.study import Study
from gradthru_sweep.study_file import RESUMABLE

STUDY, CONFIG, RECORD, JOURNAL = "study", "study.toml", "study.json", "journal.log"
OURS = (
    CONFIG,
    RECORD,
    JOURNAL,
    f"{STUDY}.lock",
    f"{JOURNAL}.lock",
    f"{STUDY}.lock.left",
    f"{JOURNAL}.lock.left",
    "workers",
    "trials",
    "logs",
)


def _is_ours(name: str) -> bool:
    # A file may be in the making, by a process that creates the study now or died of it.
    return name in OURS or any(is_temporary(name, of) for of in (CONFIG, RECORD))


class Journal(JournalFileBackend):
    """Optuna's, but a line that was cut short, by a kill or a full disc, is taken away before the
    next one: otherwise the two would be one that nobody can read."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path, self._own_lock = path, OwnedLock(path)
        super().__init__(str(path), self._own_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with held(self._own_lock), open(self._path, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0 and not _ends_line(file, end):
                end -= 1
            file.truncate(end)
            file.seek(end)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


def _ends_line(file: Any, end: int) -> bool:
    file.seek(end - 1)
    return bool(file.read(1) == b"\n")


class Store:
    """An open study."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder = folder.absolute()
        self.folder = folder
        record = json.loads((folder / RECORD).read_text())
        self.plain: dict[str, Any] = record["plain"]
        self.config = study_file.load(folder / CONFIG, str(folder), self.plain["study"])
        self.lock = OwnedLock(folder / STUDY)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.load_study(
            study_name=STUDY, storage=JournalStorage(Journal(folder / JOURNAL))
        )

    def attempts(self) -> dict[int, list[FrozenTrial]]:
        """Every point with its attempts in their order."""
        points: dict[int, list[FrozenTrial]] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if "point" in trial.user_attrs:
                points.setdefault(trial.user_attrs["point"], []).append(trial)
        return points

    def folder_of(self, point: int) -> pathlib.Path:
        return self.folder / "trials" / f"{point:04d}"

    def log_of(self, point: int) -> pathlib.Path:
        return self.folder / "logs" / f"{point:04d}.txt"

    def is_over(self, attempts: list[FrozenTrial]) -> bool:
        """Whether nothing is left to do for a point."""
        return attempts[-1].state.is_finished() and not self.is_due_again(attempts)

    def is_due_again(self, attempts: list[FrozenTrial]) -> bool:
        last = attempts[-1]
        if last.state != TrialState.FAIL:
            return False
        if outcome(last) == "interrupted":
            return True
        if outcome(last) == "refused":
            return False
        return failures(attempts) <= int(self.plain["retries"])

    def take(self, worker: str, is_alive: Callable[[str], bool]) -> optuna.Trial | None:
        """The next trial that waits, now this worker's. What dead workers left is put in the queue
        first. None if nothing waits."""
        with held(self.lock):
            for attempts in self.attempts().values():
                last = attempts[-1]
                # A worker signs its trial while it holds the lock.
                if last.state == TrialState.RUNNING and not is_alive(
                    last.user_attrs.get("worker", "")
                ):
                    # Had it come back to life meanwhile, its own word would count.
                    with contextlib.suppress(ValueError, RuntimeError):
                        self.study.tell(last.number, state=TrialState.FAIL)
            for point, attempts in self.attempts().items():
                if self.is_due_again(attempts):
                    self.enqueue(point, values_of(attempts[-1]), attempts[-1].user_attrs["fresh"])
            if not any(a[-1].state == TrialState.WAITING for a in self.attempts().values()):
                return None
            trial = self.study.ask()
            trial.set_user_attr("worker", worker)
            return trial

    def enqueue(self, point: int, values: Point | None, fresh: int = 0) -> None:
        self.study.enqueue_trial(values or {}, user_attrs={"point": point, "fresh": fresh})

    def retry_failed(self) -> int:
        """Queues every point once more that has failed for good. How many those are."""
        with held(self.lock):
            failed = [
                (point, a[-1])
                for point, a in self.attempts().items()
                if a[-1].state == TrialState.FAIL and not self.is_due_again(a)
            ]
            for point, last in failed:
                self.enqueue(point, values_of(last), last.user_attrs["fresh"] + 1)
        return len(failed)


def values_of(trial: FrozenTrial) -> Point:
    """What is known of a trial's values: one that waits, or was killed early, has not said them."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def outcome(trial: FrozenTrial) -> str:
    """What its worker said last of an attempt; "" if it did not come to that."""
    return str(trial.user_attrs.get("outcome", ""))


def failures(attempts: list[FrozenTrial]) -> int:
    """How often a point has failed since it was started afresh; interruptions are none."""
    fresh = attempts[-1].user_attrs["fresh"]
    return sum(
        a.state == TrialState.FAIL
        and a.user_attrs["fresh"] == fresh
        and outcome(a) != "interrupted"
        for a in attempts
    )


# --- making one, and knowing it again ------------------------------------------------------------


def exists(folder: pathlib.Path) -> bool:
    return (folder / RECORD).exists()


def require_same(study: Study, folder: pathlib.Path) -> None:
    """Errors: Mistake if the folder holds a study of other settings, or something else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Mistake(f"out: {folder} is not a folder")
    if not exists(folder):
        strange = sorted(
            p.name
            for p in folder.iterdir()
            if not _is_ours(p.name) or (p.is_dir() and any(p.iterdir()))
        )
        if strange:
            raise Mistake(
                f"out: {folder} holds files, such as '{strange[0]}', but no study; "
                "give another out"
            )
        return
    before = json.loads((folder / RECORD).read_text())["plain"]
    differing = [
        key for key in study.plain if key not in RESUMABLE and study.plain[key] != before.get(key)
    ]
    if differing:
        raise Mistake(
            f"out: {folder} belongs to another study; these keys differ: "
            f"{', '.join(differing)}; give another out"
        )
    if study.trials < before["trials"]:
        raise Mistake(
            f"trials is {study.trials}, but the study in {folder} has {before['trials']}; "
            "it may only grow"
        )


def open_or_create(study: Study, folder: pathlib.Path, points: list[Point | None]) -> Store:
    """The study, with all its points in the queue. Made by one process at a time, and known as
    whole by its record, which comes last."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with held(OwnedLock(folder / STUDY)):
        require_same(study, folder)
        if not exists(folder):
            (folder / JOURNAL).unlink(missing_ok=True)
            for name in ("trials", "logs", "workers"):
                (folder / name).mkdir(exist_ok=True)
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            optuna.create_study(
                study_name=STUDY,
                direction="minimize" if study.minimises else "maximize",
                storage=JournalStorage(Journal(folder / JOURNAL)),
            )
        write_atomically(folder / CONFIG, study.text)
        write_atomically(
            folder / RECORD, json.dumps({"v": 1, "plain": study.plain}, indent=1) + "\n"
        )
        store = Store(folder)
        known = store.attempts()
        for point, values in enumerate(points):
            if point not in known:
                store.enqueue(point, values)
    return store
