"""How the operators behave under vmap and autocast.

Noise is a function of row numbers, so the randomness modes of `torch.vmap` are choices of row numbers:
"different" puts the batch in front of the rows, in one call; "same" gives every element the rows of
a call of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ._library import ops
from .estimator import default_spec

Dims = Sequence[Any]


def _element(x: Any, dim: Any, i: int) -> Any:
    return x.select(dim, i) if isinstance(dim, int) else x


def _looped(op: Callable[..., Any], info: Any, in_dims: Dims, args: Sequence[Any]) -> Any:
    """A call for each element of the batch, all with the same rows."""
    results = [op(*(_element(x, dim, i) for x, dim in zip(args, in_dims, strict=True)))
               for i in range(info.batch_size)]
    if isinstance(results[0], torch.Tensor):
        return torch.stack(results), 0
    stacked = tuple(torch.stack(parts) for parts in zip(*results, strict=True))
    return stacked, (0,) * len(stacked)


def _every_element(op: Callable[..., Any]) -> Callable[..., Any]:
    def rule(info: Any, in_dims: Dims, *args: Any) -> Any:
        return _looped(op, info, in_dims, args)

    return rule


def _in_front(x: torch.Tensor, dim: int | None, size: int) -> torch.Tensor:
    """With the batch as the first dimension, expanded where there was none."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def _aligned(x: torch.Tensor | None, dim: int | None, rank: int) -> torch.Tensor | None:
    """For a tensor that is broadcast to `rank` dimensions: the batch in front of all of them."""
    if x is None or dim is None:
        return x
    x = x.movedim(dim, 0)
    return x.reshape(x.shape[0], *(1,) * (rank + 1 - x.dim()), *x.shape[1:])


def _after_samples(x: torch.Tensor, dim: int | None, size: int, rank: int) -> torch.Tensor:
    """[S, batch, ..] for a tensor with samples, i.e. with more than `rank` dimensions, else
    [batch, ..]."""
    x = _in_front(x, dim, size)
    return x.movedim(0, 1) if x.dim() - 1 > rank else x


def _refuse_error(info: Any, drawn: bool, op: str) -> None:
    if info.randomness == "error" and drawn:
        raise RuntimeError(f"vmap: gradthru::{op} draws random numbers; call vmap with "
                           "randomness='same' or 'different'")


def _shifted(dim: int) -> int:
    return dim + 1 if dim >= 0 else dim


def _sample(info: Any, in_dims: Dims, *args: Any) -> Any:
    result, at = _drawn(ops.sample, info, in_dims, *args)
    return result, at if info.randomness == "same" else (at, at)


def _sample_index(info: Any, in_dims: Dims, *args: Any) -> Any:
    return _drawn(ops.sample_index, info, in_dims, *args)


def _drawn(op: Callable[..., Any], info: Any, in_dims: Dims, *args: Any) -> Any:
    logits, index, mask, tau_f, tau_b, *rest = args
    _refuse_error(info, index is None, "sample")
    if info.randomness == "same":
        return _looped(op, info, in_dims, args)
    size, rank = info.batch_size, logits.dim() - (in_dims[0] is not None)
    if index is not None:
        index = _after_samples(index, in_dims[1], size, rank - 1)
    dim, samples = rest[-2:]
    result = op(_in_front(logits, in_dims[0], size), index, _aligned(mask, in_dims[2], rank),
                _aligned(tau_f, in_dims[3], rank - 1), _aligned(tau_b, in_dims[4], rank - 1),
                *rest[:-2], _shifted(dim), samples)
    return result, 0 if samples is None else 1


def _sample_binary(info: Any, in_dims: Dims, *args: Any) -> Any:
    logits, given, tau_f, tau_b, *rest = args
    _refuse_error(info, given is None, "sample_binary")
    if info.randomness == "same":
        return _looped(ops.sample_binary, info, in_dims, args)
    size, rank = info.batch_size, logits.dim() - (in_dims[0] is not None)
    if given is not None:
        given = _after_samples(given, in_dims[1], size, rank)
    result = ops.sample_binary(_in_front(logits, in_dims[0], size), given,
                               _aligned(tau_f, in_dims[2], rank), _aligned(tau_b, in_dims[3], rank),
                               *rest)
    return result, 0 if rest[-1] is None else 1


def _one_call(info: Any, in_dims: Dims) -> bool:
    """Whether the sample came from one call with the batch in front of its rows."""
    return in_dims[2] is not None and info.randomness != "same"


def _backward(op: Callable[..., Any]) -> Callable[..., Any]:
    def rule(info: Any, in_dims: Dims, *args: Any) -> Any:
        if not _one_call(info, in_dims):
            return _looped(op, info, in_dims, args)
        grad, logits, index, mask, tau_f, tau_b, *rest = args
        size, rank = info.batch_size, logits.dim() - (in_dims[1] is not None)
        dim, given = rest[-2:]
        result = op(_after_samples(grad, in_dims[0], size, rank),
                    _in_front(logits, in_dims[1], size),
                    _after_samples(index, in_dims[2], size, rank - 1),
                    _aligned(mask, in_dims[3], rank), _aligned(tau_f, in_dims[4], rank - 1),
                    _aligned(tau_b, in_dims[5], rank - 1), *rest[:-2], _shifted(dim), given)
        return result, 0

    return rule


def _binary_backward(op: Callable[..., Any]) -> Callable[..., Any]:
    def rule(info: Any, in_dims: Dims, *args: Any) -> Any:
        if not _one_call(info, in_dims):
            return _looped(op, info, in_dims, args)
        grad, logits, sample, tau_f, tau_b, *rest = args
        size, rank = info.batch_size, logits.dim() - (in_dims[1] is not None)
        result = op(_after_samples(grad, in_dims[0], size, rank),
                    _in_front(logits, in_dims[1], size),
                    _after_samples(sample, in_dims[2], size, rank),
                    _aligned(tau_f, in_dims[3], rank), _aligned(tau_b, in_dims[4], rank), *rest)
        return result, 0

    return rule


def register() -> None:
    """Tells PyTorch the rules of all operators; done once, at import."""
    torch.library.register_vmap("gradthru::sample", _sample)
    torch.library.register_vmap("gradthru::sample_index", _sample_index)
    torch.library.register_vmap("gradthru::sample_binary", _sample_binary)
    for name in ops.estimator_names():
        if ops.about(default_spec(name))[2] != "pathwise":
            continue
        for suffix, rule in (("_backward", _backward), ("_binary_backward", _binary_backward)):
            torch.library.register_vmap(f"gradthru::{name}{suffix}",
                                        rule(getattr(ops, name + suffix)))
    for name in ("psa_linear", "psa_conv2d", "logic_gates", "logic_gates_backward"):
        torch.library.register_vmap(f"gradthru::{name}", _every_element(getattr(ops, name)))
    for device in ("cpu", "cuda"):
        for name in ("sample", "sample_index", "sample_binary", "logic_gates"):
            torch.library.register_autocast(f"gradthru::{name}", device, torch.float32)
