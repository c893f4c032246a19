"""Functions with the arguments of PyTorch's own."""

from __future__ import annotations

import torch

from .estimator import parse_estimator
from .key import Key
from .sampling import sample


def gumbel_softmax(
    logits: torch.Tensor,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: torch.Generator | None = None,
    key: Key | None = None,
) -> torch.Tensor:
    """`torch.nn.functional.gumbel_softmax`, without its failures.

    Args:
        logits: unnormalised log probabilities in nats, any shape and strides; float64, float32,
            float16 or bfloat16.
        tau: temperature, finite and > 0, without unit.
        hard: one-hot samples, differentiated as if they were the relaxed ones; else relaxed samples.
        eps: unused, as in PyTorch.
        dim: the dimension of the categories.
        generator, key: where the noise comes from; Torch's default CPU generator if neither is given.

    Returns:
        Samples like the logits: exact one-hots with hard, else numbers that sum to 1 along dim.

    Raises:
        ValueError: a temperature that is not finite and > 0; a key and a generator.
        IndexError: dim out of range.

    Draws are other than PyTorch's for the same seed. One-hots are exact, half precision has no NaN, and
    the noise depends neither on threads nor on the device.

    Source: Jang et al., arXiv 1611.01144; Maddison et al., arXiv 1611.00712.

    Examples:
        >>> import torch
        >>> from gradthru.functional import gumbel_softmax
        >>> gumbel_softmax(torch.zeros(2, 3), tau=0.5, hard=True).sum(-1)
        tensor([1., 1.])
    """
    del eps
    words = f"gumbel_softmax(tau={float(tau)!r},hard={'true' if hard else 'false'})"
    return sample(logits, parse_estimator(words), dim=dim, generator=generator, key=key).onehot


__all__ = ["gumbel_softmax"]
