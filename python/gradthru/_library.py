"""Loads the C++ library, which registers its operators with PyTorch."""

import os
import pathlib

import torch

LIBRARY = "libgradthru.so"


def _path() -> str:
    """The library of the wheel; GRADTHRU_LIBRARY names another, such as one in a build tree."""
    named = os.environ.get("GRADTHRU_LIBRARY")
    if named:
        return named
    return str(pathlib.Path(__file__).resolve().parent / "lib" / LIBRARY)


torch.ops.load_library(_path())
ops = torch.ops.gradthru
