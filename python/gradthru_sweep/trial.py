"""One trial: `gradthru run` in a folder of its own, watched while it runs."""

import ctypes
import json
import math
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from gradthru_sweep.alive import is_locked

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
DONE, DIVERGED_OR_FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


@dataclass
class Result:
    """How an attempt ended: complete, diverged, pruned, interrupted, refused or failed."""

    outcome: str
    why: str = ""
    values: dict[str, float | None] = field(default_factory=dict)  # seed -> objective
    wall_s: float = 0.0  # of training, over all attempts

    @property
    def mean(self) -> float:
        numbers = [v for v in self.values.values() if v is not None]
        return sum(numbers) / len(numbers)


def interrupted_with_parent() -> Callable[[], None]:
    """For a process about to start (preexec_fn): it saves and stops when the one that starts it
    dies. The kernel tells it so for every thread of the dead one, hence a signal that may come
    several times."""
    parent = os.getpid()

    def prepare() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGHUP)  # too late to be told

    return prepare


def in_use(folder: pathlib.Path) -> bool:
    """Whether a run is still at work in a folder; runs hold its lock."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        return is_locked(descriptor)
    except OSError:
        return False  # a file system without locks
    finally:
        os.close(descriptor)


def run_folders(folder: pathlib.Path, seeds: list[int]) -> dict[int, pathlib.Path]:
    """Where the runs of a trial are, by seed: in its folder if it is one, else in sub-folders."""
    if len(seeds) == 1:
        return {seeds[0]: folder}
    found = {}
    for seed in seeds:
        for path in folder.glob(f"*-s{seed}"):
            found[seed] = path
    return found


def read_summary(folder: pathlib.Path) -> dict[str, Any] | None:
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
        return summary
    except (FileNotFoundError, NotADirectoryError):
        return None


class Intermediate:
    """The objective as the run writes it: one value for every whole epoch that has it."""

    def __init__(self, metric: str) -> None:
        self.split, _, self.name = metric.partition("_")
        self._file: BinaryIO | None = None
        self._last = 0

    def read(self, folder: pathlib.Path) -> Iterator[tuple[int, float]]:
        """What is new since the last call. A run that goes on from a checkpoint puts another file
        in the place of the one that has lines after it."""
        path = folder / "metrics.jsonl"
        try:
            if self._file is None or not os.path.samestat(
                os.stat(path), os.fstat(self._file.fileno())
            ):
                self.close()
                self._file = open(path, "rb")
        except FileNotFoundError:
            return
        begin = self._file.tell()
        text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._file.seek(begin + len(whole))
        for line in whole.splitlines():
            entry = json.loads(line)
            epoch, value = entry["epoch"], entry["values"].get(self.name)
            usual = entry["kind"] in ("train", "eval") and entry["split"] == self.split
            if usual and isinstance(value, (int, float)) and epoch == int(epoch) > self._last:
                self._last = int(epoch)
                yield self._last, float(value)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Child:
    """The program at work on a trial. It gets its own session: Ctrl-C in a terminal is not for it,
    but the death of the worker is."""

    def __init__(self, command: list[str], environment: dict[str, str], log: pathlib.Path) -> None:
        self._log = log
        with open(log, "ab") as file:
            self._begin = file.tell()
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=interrupted_with_parent(),
            )
        self.interrupted = False

    def interrupt(self) -> None:
        """Once: a second signal would make it leave without saving."""
        if not self.interrupted and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.interrupted = True

    def wait(self, seconds: float) -> int | None:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def complaint(self) -> str:
        """What it said last, or how it ended."""
        code = self.process.returncode
        with open(self._log, errors="replace") as file:
            file.seek(self._begin)
            said = [line for line in file if line.startswith("gradthru: ")]
        if said:
            return said[-1].strip().removeprefix("gradthru: ")
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def result_of(
    code: int, complaint: Callable[[], str], folders: dict[int, pathlib.Path], objective: str
) -> Result:
    """What the exit code and the summaries say of a trial that nobody stopped."""
    summaries = {seed: read_summary(folder) for seed, folder in folders.items()}
    known = [s for s in summaries.values() if s is not None]
    wall_s = sum(s["wall_s"] for s in known)
    if code == REFUSED:
        return Result("refused", complaint(), wall_s=wall_s)
    statuses = {s["status"] if s else "missing" for s in summaries.values()}
    if (
        code == DIVERGED_OR_FAILED
        and "diverged" in statuses
        and statuses <= {"diverged", "complete"}
    ):
        return Result("diverged", wall_s=wall_s)
    if code != DONE or statuses != {"complete"}:
        return Result("failed", complaint(), wall_s=wall_s)
    where, _, name = objective.rpartition(".")
    values: dict[str, float | None] = {}
    for seed, summary in summaries.items():
        value = (summary or {})[where or "final"].get(name)
        if value is None or not math.isfinite(value):
            return Result(
                "refused",
                f"seed {seed}: summary.json has no number for '{objective}'",
                wall_s=wall_s,
            )
        values[str(seed)] = value
    return Result("complete", values=values, wall_s=wall_s)
