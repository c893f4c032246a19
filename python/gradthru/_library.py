"""Loads the C++ library, which registers its operators with PyTorch."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

LIBRARY = "libgradthru.so"


def _path() -> str:
    """The library of the wheel; GRADTHRU_LIBRARY names another, such as one in a build tree."""
    named = os.environ.get("GRADTHRU_LIBRARY")
    if named:
        return named
    return str(pathlib.Path(__file__).resolve().parent / "lib" / LIBRARY)


try:
    torch.ops.load_library(_path())  # type: ignore[no-untyped-call]
except OSError as error:
    raise ImportError(
        f"gradthru: {_path()} does not load beside PyTorch {torch.__version__}; it must have been "
        "built against the same release (pip install --no-build-isolation)") from error
ops = torch.ops.gradthru


def answer(op: Callable[..., Any], *arguments: object) -> Any:
    """What an operator on values answers. Tracers such as torch.export must not see the call: they
    take its results for tensors."""
    with _disable_current_modes():
        return op(*arguments)
