"""Which workers are alive, on this machine and on others that share the study's folder."""

import contextlib
import fcntl
import json
import os
import pathlib
import threading
from types import TracebackType

BEAT_S = 5.0
GRACE_S = 60.0
BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")


def machine() -> str:
    """Names the running kernel: processes that share it see each other's locks."""
    return BOOT_ID.read_text().strip()


class Presence:
    """A worker's sign of life: a file that it holds locked and touches every few seconds. The
    kernel drops the lock with the process, so that its death shows at once on its own machine;
    elsewhere it shows when the file has not been touched for a while. Clocks of machines are never
    compared: both times are the file system's."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.path = folder / name
        self.name, self._stop = name, threading.Event()
        folder.mkdir(exist_ok=True)
        self._file = open(self.path, "w")
        with contextlib.suppress(OSError):  # a file system without locks: it is touched
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        json.dump({"machine": machine(), "pid": os.getpid()}, self._file)
        self._file.flush()
        self._beat = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> "Presence":
        self._beat.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._beat.join()
        self.path.unlink(missing_ok=True)
        self._file.close()

    def _touch(self) -> None:
        while not self._stop.wait(BEAT_S):
            try:
                os.utime(self.path)
            except OSError:
                pass  # a hiccup of a shared file system; the next one will do

    def is_alive(self, name: str) -> bool:
        """Whether the worker of that name, maybe this one, is alive. One without a name is not: it
        died before it signed."""
        if not name:
            return False
        if name == self.name:
            return True
        path = self.path.with_name(name)
        try:
            with open(path) as file:
                if json.load(file)["machine"] == machine():
                    return is_locked(file.fileno())
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError):
            pass  # no locks here, or it is writing this
        try:
            os.utime(self.path)
            return os.stat(self.path).st_mtime - os.stat(path).st_mtime < GRACE_S
        except FileNotFoundError:
            return False


def is_locked(descriptor: int) -> bool:
    """Whether another process holds the lock of a file or folder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
