"""Bias and variance of estimators on a function of yours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from .estimator import EstimatorLike, as_estimator
from .key import Key
from .sampling import Coding, Function, expectation, expectation_offsets_used


class Fidelity(NamedTuple):
    """How near an estimator comes to the exact gradient g*; norms over all logits.

    Attributes:
        estimator: its spec.
        relative_bias: |mean - g*| / |g*| of the estimates' mean.
        relative_bias_error: what chance adds to it: the standard error of the mean over |g*|.
        relative_std: root of the total variance of one estimate over |g*|.
        cosine: between the mean and g*.
        samples: how many estimates were drawn.
    """

    estimator: str
    relative_bias: float
    relative_bias_error: float
    relative_std: float
    cosine: float
    samples: int


def _gradient(f: Function, logits: torch.Tensor, estimator: EstimatorLike, coding: Coding | None,
              key: Key) -> torch.Tensor:
    leaf = logits.detach().requires_grad_()
    value = expectation(f, leaf, estimator, coding=coding, key=key)
    return torch.autograd.grad(value, leaf)[0].double()


def fidelity(
    f: Function,
    logits: torch.Tensor,
    estimators: Sequence[EstimatorLike],
    *,
    samples: int = 1000,
    coding: Coding | None = None,
    key: Key | None = None,
) -> list[Fidelity]:
    """Measures estimators of the gradient of E f(z) against its exact value, by `samples` draws.

    Args:
        f: as in `expectation`; differentiable for pathwise estimators.
        logits: [B.., L, K], or [B.., L] with a coding; all K^L states are summed over once.
        estimators: values or spec strings.
        samples: draws of each, at least 2.
        coding: of Bernoulli variables.
        key: names the random numbers; seed 0 by default.

    Returns:
        One `Fidelity` per estimator, in order.

    Raises:
        ValueError: samples < 2; more than 2**20 states; what `expectation` refuses.

    Examples:
        >>> import torch, gradthru
        >>> f = lambda z: (z[..., 0].sum(-1) - 0.3) ** 2
        >>> st, reinmax = gradthru.fidelity(f, torch.randn(1, 2, 3), ["st", "reinmax"], samples=200)
        >>> reinmax.relative_bias < 5 * reinmax.relative_bias_error
        True
    """
    if samples < 2:
        raise ValueError(f"fidelity: samples must be >= 2, got {samples}")
    stream = Key(0) if key is None else Key(key.seed, key.offset, key.row0)
    exact = _gradient(f, logits, "exact", coding, Key(0))
    length = float(exact.norm())
    results = []
    for estimator in map(as_estimator, estimators):
        used = expectation_offsets_used(estimator)
        draws = torch.stack([_gradient(f, logits, estimator, coding, stream.take(used))
                             for _ in range(samples)])
        mean, variance = draws.mean(0), float(draws.var(0).sum())
        results.append(Fidelity(
            estimator.spec, float((mean - exact).norm()) / length,
            math.sqrt(variance / samples) / length, math.sqrt(variance) / length,
            float((mean * exact).sum() / (mean.norm() * exact.norm())), samples))
    return results
