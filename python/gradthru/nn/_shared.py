"""What several modules share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .._library import ops
from ..estimator import Estimator, EstimatorLike, as_estimator, parse_estimator
from ..key import Key, signed
from ..sampling import _check_sampling, _constant, _relaxed


def pathwise(estimator: EstimatorLike) -> Estimator:
    """An estimator that gives a sample a gradient; schedules are allowed, until they are used."""
    e = as_estimator(estimator)
    _check_sampling(e)
    return e


def hard(estimator: EstimatorLike, where: str) -> Estimator:
    """A pathwise estimator whose samples are categories, not relaxed ones."""
    e = pathwise(estimator)
    if _relaxed(e.spec):
        raise ValueError(f"{where}: {e.spec} has relaxed samples, which have no index; "
                         "use gradthru.sample and a matrix product")
    return e


def at_least_one(where: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{where}: {name} must be >= 1, got {size}")


def share(where: str, name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{where}: {name} must be in [0, 1), got {value}")


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """What a function of autograd makes of its arguments."""
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


class _Final(torch.autograd.Function):
    """A gradient that cannot be differentiated again with respect to the anchors."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: torch.Tensor, name: str, *anchors: torch.Tensor) -> torch.Tensor:
        return gradient.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.name = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(f"{ctx.name}: the gradient cannot be differentiated again "
                           "(second order is refused)")


def final(name: str, gradients: Sequence[torch.Tensor | None],
          anchors: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """What a backward returns, so that a second derivative is refused and not silently zero."""
    if not torch.is_grad_enabled():
        return list(gradients)
    held = [anchor for anchor in anchors if anchor is not None]
    return [None if g is None else apply(_Final, g, name, *held) for g in gradients]


def uniforms(like: torch.Tensor, key: Key) -> torch.Tensor:
    """The uniforms behind the draws of Bernoulli variables of the shape and dtype of `like`."""
    soft = parse_estimator("gumbel_softmax(1,hard=false)")
    u: torch.Tensor = ops.sample_binary(torch.zeros_like(like), None, None, None, soft.method,
                                        list(soft.params), 0.0, signed(key.seed), key.offset,
                                        key.row0, False, None)
    return u


__all__ = ["_constant", "apply", "at_least_one", "final", "hard", "pathwise", "share", "uniforms"]
