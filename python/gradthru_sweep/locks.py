"""A lock that processes of several machines share through a file, and that dies with its owner."""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator

from optuna.storages.journal import JournalFileOpenLock

from gradthru_sweep.alive import machine

GRACE_S = 30.0
MOST_WAIT_S = 0.25


class OwnedLock(JournalFileOpenLock):
    """Optuna's lock is a file that only one process can create, which holds on any file system that
    machines share. One that a killed process left is in the way there for half a minute; here the
    file says whose it is. A process of the same machine takes it away at once when its owner is
    gone, and never before; another machine, after half a minute.
    """

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(str(path))
        self._path = pathlib.Path(f"{path}.lock")

    def acquire(self) -> bool:
        wait, seen, since = 0.001, 0.0, time.monotonic()
        while True:
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                os.write(descriptor, _owner(os.getpid()).encode())
                os.close(descriptor)
                return True
            with contextlib.suppress(FileNotFoundError):
                now = os.stat(self._path).st_mtime
                if now != seen:
                    seen, since = now, time.monotonic()
                self._take_away_if_left(seen, waited_s=time.monotonic() - since)
            time.sleep(wait)
            wait = min(2 * wait, MOST_WAIT_S)

    def release(self) -> None:
        # Taken away by another machine that waited too long: its own by now.
        with contextlib.suppress(FileNotFoundError):
            if self._path.read_text() == _owner(os.getpid()):
                self._path.unlink()

    def _take_away_if_left(self, seen: float, waited_s: float) -> None:
        # One process of a machine at a time, so that none takes away the lock that comes next.
        with open(self._path.with_name(f"{self._path.name}.left"), "w") as guard:
            with contextlib.suppress(OSError):  # a file system without such locks
                fcntl.flock(guard, fcntl.LOCK_EX)
            text = self._path.read_text()
            place, _, process = text.partition(" ")
            if place == _place():
                left = _owner(int(process.split()[0])) != text
            else:
                left = waited_s > GRACE_S and os.stat(self._path).st_mtime == seen
            # Before it died it may have let go of the lock, and another process have taken it.
            if left and self._path.read_text() == text:
                self._path.unlink()


def _place() -> str:
    """Where a process id means one process: containers of a machine count their own."""
    return f"{machine()}/{os.readlink('/proc/self/ns/pid')}"


def _owner(process: int) -> str:
    """Place, process id and start time, as ids are used again; "" if the process is gone."""
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if stat[0] == "Z" else f"{_place()} {process} {stat[19]}"


@contextlib.contextmanager
def held(lock: JournalFileOpenLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
