"""What the examples share: images, and a look at whether the loss falls."""

from __future__ import annotations

import gzip
import os
import pathlib
import statistics
from collections.abc import Sequence

import numpy
import torch


def _folder() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("GRADTHRU_DATA_DIR") or pathlib.Path(cache) / "gradthru")


def _idx(path: pathlib.Path, header: int, count: int) -> torch.Tensor:
    """The first `count` bytes of an IDX file after its header."""
    with gzip.open(path) as file:
        file.read(header)
        return torch.from_numpy(numpy.frombuffer(bytearray(file.read(count)), numpy.uint8))


def _drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten smooth patterns with noise, for where there is no data."""
    g = torch.Generator().manual_seed(0)
    patterns = torch.nn.functional.interpolate(torch.rand(10, 1, 5, 5, generator=g), size=28,
                                               mode="bicubic")
    labels = torch.randint(10, (count,), generator=g)
    return (patterns[labels] + 0.1 * torch.randn(count, 1, 28, 28, generator=g)).clamp(0, 1), labels


def load(name: str, count: int = 20000) -> tuple[torch.Tensor, torch.Tensor]:
    """Training images [count, 1, 28, 28] from 0 to 1 and labels of mnist or fashion-mnist.

    Looked for in GRADTHRU_DATA_DIR, then where `gradthru data fetch` puts them.
    """
    folder = _folder() / name
    if not folder.is_dir():
        print(f"no {name} in {folder.parent}: drawn patterns instead "
              f"(`gradthru data fetch {name}` gets it)")
        return _drawn(count)
    pixels = _idx(folder / "train-images-idx3-ubyte.gz", 16, 784 * count).view(-1, 1, 28, 28)
    return pixels.float() / 255, _idx(folder / "train-labels-idx1-ubyte.gz", 8, count).long()


def check_falls(losses: Sequence[float], what: str) -> None:
    """Prints the mean of the first and last tenth of the losses; the last must be the lower."""
    tenth = max(1, len(losses) // 10)
    first, last = statistics.mean(losses[:tenth]), statistics.mean(losses[-tenth:])
    print(f"{what}: {first:.4f} -> {last:.4f} in {len(losses)} steps")
    assert last < first, f"the {what} did not fall"
    print("the loss falls")
