"""Gradients through discrete steps: samples of categorical and binary variables with a gradient.

    >>> import torch, gradthru
    >>> logits = torch.randn(4, 8, requires_grad=True)
    >>> z = gradthru.sample(logits, gradthru.reinmax(1.3))
    >>> (z.onehot * torch.arange(8.0)).sum().backward()

Every estimator has a factory of its name, such as `gradthru.reinmax`; `gradthru.estimators()` lists them.
"""

from __future__ import annotations

from collections.abc import Callable

from . import functional, nn, transforms
from ._library import ops as _ops
from .estimator import (
    About,
    Estimator,
    EstimatorLike,
    Traits,
    about,
    cite,
    estimators,
    parse_estimator,
    traits,
)
from .estimator import factory as _factory
from .fidelity import Fidelity, fidelity
from .key import Key, key_from
from .sampling import (
    Coding,
    Function,
    Sample,
    expectation,
    expectation_offsets_used,
    offsets_used,
    sample,
    sample_binary,
    sample_index,
)

__version__: str = _ops.version()
transforms.register()

_NAMES = frozenset(estimators())


def __getattr__(name: str) -> Callable[..., Estimator]:
    if name not in _NAMES:
        raise AttributeError(f"module 'gradthru' has no attribute {name!r}")
    make = _factory(name)
    globals()[name] = make
    return make


def __dir__() -> list[str]:
    return sorted(set(globals()) | _NAMES)


__all__ = [
    "About", "Coding", "Estimator", "EstimatorLike", "Fidelity", "Function", "Key", "Sample",
    "Traits", "about", "cite", "estimators", "expectation", "expectation_offsets_used", "fidelity",
    "functional", "key_from", "nn", "offsets_used", "parse_estimator", "sample", "sample_binary",
    "sample_index", "traits",
]
