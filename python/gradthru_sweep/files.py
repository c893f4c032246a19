"""Files that are whole or not there."""

import os
import pathlib


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes to a temporary name beside `path`, syncs, renames."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_temporary(name: str, of: str) -> bool:
    """Whether it is the temporary name of a file that is called `of`."""
    return name.startswith(f".{of}.") and name.endswith(".tmp")
