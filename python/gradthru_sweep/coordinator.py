"""`gradthru sweep` on one machine: starts workers, shows what they do, writes what came out."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from gradthru_sweep import charts, store
from gradthru_sweep.live import Display
from gradthru_sweep.mistake import Mistake
from gradthru_sweep.points import known_points, sample_points
from gradthru_sweep.program import Program
from gradthru_sweep.results import Row, counts, ranked, rows_of, write_results
from gradthru_sweep.space import Point, label
from gradthru_sweep.store import Store
from gradthru_sweep.study import Study
from gradthru_sweep.trial import interrupted_with_parent

LOOK_S = 0.3
WRITE_S = 10.0
REPLACEMENTS = 3  # per worker, before something must be wrong
DONE, FAILED, INTERRUPTED = 0, 1, 130


def checked_points(study: Study, program: Program) -> list[Point | None]:
    """The points of a study that is to be made. Everything is checked that can be before any work.
    Errors: Mistake."""
    try:
        points = known_points(study)
        known = [point for point in points if point is not None]
        samples = known or sample_points(study)
        hashes = program.check(samples)
        program.check_objective(samples[0], program.times(samples[0]))
    except Mistake as mistake:
        raise Mistake(f"{study.source}: {mistake}") from None
    if known and (twice := len(hashes) - len(set(map(tuple, hashes)))):
        print(
            f"gradthru: {twice} of {len(hashes)} trials come to the same run as another one: "
            "values that their method does not use?",
            file=sys.stderr,
        )
    return points


def open_study(study: Study, program: Program, join: bool) -> Store:
    """Errors: Mistake."""
    store.require_same(study, study.out)
    if join:
        if not store.exists(study.out):
            raise Mistake(f"--join: there is no study in {study.out} yet; start it without --join")
        return Store(study.out)
    if store.exists(study.out) and study.trials == Store(study.out).plain["trials"]:
        points = known_points(study)  # those that an early death left out of the queue
    else:
        points = checked_points(study, program)
    return store.open_or_create(study, study.out, points)


class Coordinator:
    def __init__(self, opened: Store, program: str, workers: int) -> None:
        self.store, self.program = opened, program
        self.asked_for = workers
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.replaced, self.stopping = 0, 0
        self.written_at, self.written = 0.0, ""

    def run(self) -> int:
        rows = rows_of(self.store)
        left = sum(not self.store.is_over(a) for a in self.store.attempts().values())
        before = {n: signal.signal(n, self._stop) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Display(self.store, min(self.asked_for, max(1, left))) as self.display:
                self.display.begin(rows)
                if left < len(rows):
                    self.display.say(f"going on: {len(rows) - left} of {len(rows)} trials are over")
                for _ in range(min(self.asked_for, left)):
                    self._start()
                while self.workers:
                    rows = self._look()
                    time.sleep(LOOK_S)
                rows = self._look()
            return self._close(rows)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        if self.stopping:
            return
        name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        log = self.store.folder / "logs" / f"worker-{name}.txt"
        with open(log, "ab") as file:
            self.workers[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gradthru_sweep",
                    "--work",
                    name,
                    "--program",
                    self.program,
                    str(self.store.folder),
                ],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=interrupted_with_parent(),
            )
        if self.stopping:  # while it was being started
            self.workers[name].send_signal(signal.SIGINT)

    def _look(self) -> list[Row]:
        for name, process in list(self.workers.items()):
            if (code := process.poll()) is not None:
                del self.workers[name]
                self._ended(name, code)
        rows = rows_of(self.store)
        self.display.update(rows)
        # Cheap enough to be there whenever somebody looks; the charts come at the end.
        states = str(counts(rows))
        if states != self.written and time.monotonic() - self.written_at > WRITE_S:
            write_results(self.store, rows, {})
            self.written, self.written_at = states, time.monotonic()
        return rows

    def _ended(self, name: str, code: int) -> None:
        log = self.store.folder / "logs" / f"worker-{name}.txt"
        (self.store.folder / "workers" / name).unlink(missing_ok=True)
        if code in (DONE, INTERRUPTED) or self.stopping:
            if log.exists() and not log.stat().st_size:
                log.unlink()
            return
        how = (
            f"killed by {signal.Signals(-code).name}"
            if code < 0
            else f"exit code {code}, see {log}"
        )
        left = any(not self.store.is_over(a) for a in self.store.attempts().values())
        again = left and self.replaced < REPLACEMENTS * self.asked_for
        self.display.say(
            f"a worker ended early ({how})"
            + ("; another one takes its place, and what it was at is retried" if again else "")
        )
        if again:
            self.replaced += 1
            self._start()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping += 1
        for process in self.workers.values():
            if self.stopping == 1:
                process.send_signal(signal.SIGINT)
            else:
                process.kill()  # the runs save when they see it

    def _close(self, rows: list[Row]) -> int:
        write_results(self.store, rows, charts.write_charts(self.store, rows))
        found = counts(rows)
        print(f"\n{', '.join(f'{n} {state}' for state, n in found.items() if n)}")
        objective = self.store.config.objective
        for row in ranked(self.store, rows)[:3]:
            print(f"  trial {row.trial}: {objective} {row.value:.6g} ({label(row.params)})")
        print(f"study: {os.path.relpath(self.store.folder)}")
        if self.stopping:
            print("interrupted: saved; go on with the same command")
            return INTERRUPTED
        if found["running"] or found["waiting"]:
            print(
                "gradthru: workers ended before the study; go on with the same command",
                file=sys.stderr,
            )
            return FAILED
        if found["failed"]:
            print(
                f"gradthru: {found['failed']} of {len(rows)} trials failed; "
                "--retry-failed runs them again",
                file=sys.stderr,
            )
            return FAILED
        return DONE


def sweep(study: Study, program: str, join: bool, retry_failed: bool) -> int:
    opened = open_study(study, Program(program, study), join)
    if retry_failed and (again := opened.retry_failed()):
        print(f"{again} failed trials are run again")
    return Coordinator(opened, program, study.workers).run()
