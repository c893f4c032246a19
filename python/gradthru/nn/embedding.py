"""Sampled rows of a table."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .._library import ops
from ..estimator import Estimator, EstimatorLike
from ..key import Key, chosen, signed
from ._shared import _constant, apply, at_least_one, hard, share


class EmbeddedSample(NamedTuple):
    """What `StraightThroughEmbedding` returns.

    Attributes:
        embedding: rows of the table, [.., D].
        index: which, int64, [..]; -1 where a row has no possible category or is NaN.
    """

    embedding: torch.Tensor
    index: torch.Tensor  # type: ignore[assignment]


class _Lookup(torch.autograd.Function):
    """onehot @ weight, whose backward needs the index: the one-hot gets grad @ weight^T."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: torch.Tensor, weight: torch.Tensor, index: torch.Tensor | None,
                mask: torch.Tensor | None, method: str, params: list[float], uniform_mix: float,
                seed: int, offset: int, row0: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = ops.sample_index(logits, index, mask, None, None, method, params, uniform_mix,
                                 seed, offset, row0, -1, None)
        rows = F.embedding(drawn.clamp(min=0), weight)
        # A row without a sample is NaN where it is invalid (-1), 0 where it was skipped (-2).
        rows = torch.where((drawn == -1).unsqueeze(-1), torch.nan, rows)
        rows = torch.where((drawn == -2).unsqueeze(-1), 0.0, rows)
        return rows, drawn.clamp(min=-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        logits, weight, index, mask, *call = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(logits, weight, output[1], mask)
        ctx.call, ctx.given = call, index is not None

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        logits, weight, index, mask = ctx.saved_tensors
        method, *numbers = ctx.call
        grad, grad_logits, grad_weight = grads[0], None, None
        if ctx.needs_input_grad[0]:
            grad_onehot = (grad @ weight.t()).to(logits.dtype)
            grad_logits = getattr(ops, method + "_backward")(
                grad_onehot, logits, index, mask, None, None, *numbers, -1, ctx.given)
        if ctx.needs_input_grad[1]:
            # Rows without a sample go to a place of their own, beyond the table.
            K = weight.shape[0]
            grad_weight = torch.ops.aten.embedding_dense_backward(
                grad, torch.where(index < 0, K, index), K + 1, -1, False)[:K]
        return grad_logits, grad_weight, *(None,) * 8


def lookup(logits: torch.Tensor, weight: torch.Tensor, e: Estimator, key: Key, *,
           index: torch.Tensor | None = None, mask: torch.Tensor | None = None,
           uniform_mix: float = 0.0) -> EmbeddedSample:
    """Samples a row of weight [K, D] for each row of logits [.., K]; no one-hot is built."""
    e = _constant(e)
    rows, drawn = apply(_Lookup, logits, weight, index, mask, e.method, list(e.params), uniform_mix,
                        signed(key.seed), key.offset, key.row0)
    return EmbeddedSample(rows, drawn)


class StraightThroughEmbedding(nn.Module):
    """A sampled category's row of a table, with an estimator's gradient for the logits.

    Equal to ``gradthru.sample(logits, estimator).onehot @ weight``, values and gradients, but a row
    is looked up and no one-hot is ever built: the logits get the estimator's gradient
    from ``grad @ weight.T``, the table gets that of the row that was looked up.

    Args:
        categories: K, rows of the table.
        dim: D, numbers in a row.
        estimator: an `Estimator` or a spec string, with hard samples. May be set again later.
        uniform_mix: share of the uniform law in the one that is sampled, in [0, 1).
        device, dtype: of the table.

    Attributes:
        weight: the table [K, D], from the standard normal law as in `torch.nn.Embedding`.

    Raises:
        ValueError: an argument out of its domain; an estimator without a gradient for samples or
            with relaxed ones.

    Source: the estimators' papers, `gradthru.cite`.

    Examples:
        >>> import torch, gradthru
        >>> table = gradthru.nn.StraightThroughEmbedding(10, 3, "reinmax")
        >>> z = table(torch.randn(5, 10, requires_grad=True), key=gradthru.Key(7))
        >>> bool((z.embedding == table.weight[z.index]).all())
        True
    """

    estimator: Estimator
    weight: nn.Parameter

    def __init__(self, categories: int, dim: int, estimator: EstimatorLike = "reinmax", *,
                 uniform_mix: float = 0.0, device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        super().__init__()
        at_least_one("StraightThroughEmbedding", categories=categories, dim=dim)
        share("StraightThroughEmbedding", "uniform_mix", uniform_mix)
        self.estimator = hard(estimator, "StraightThroughEmbedding")
        self.uniform_mix = uniform_mix
        self.weight = nn.Parameter(torch.empty(categories, dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the table from the standard normal law, with Torch's default generator."""
        nn.init.normal_(self.weight)

    @property
    def offsets_used(self) -> int:
        """How far to move a key between two calls."""
        return self.estimator.offsets

    def forward(self, logits: torch.Tensor, *, key: Key | None = None,
                generator: torch.Generator | None = None, mask: torch.Tensor | None = None,
                index: torch.Tensor | None = None) -> EmbeddedSample:
        """Samples a row of the table for each row of the logits.

        Args:
            logits: [.., K], in nats.
            key, generator: where the draws come from, Torch's default CPU generator if neither is
                given. Under `torch.compile` a key is needed.
            mask: bool, broadcastable to the logits; False removes a category.
            index: int64 [..], replaces the draw; -1 skips a row, whose result is 0.

        Raises:
            ValueError: shapes that do not fit, a key and a generator, a schedule as estimator.
        """
        if logits.shape[-1:] != self.weight.shape[:1]:
            raise ValueError(f"StraightThroughEmbedding: logits must be [.., {len(self.weight)}], "
                             f"got {list(logits.shape)}")
        return lookup(logits, self.weight, hard(self.estimator, "StraightThroughEmbedding"),
                      chosen(key, generator), index=index, mask=mask, uniform_mix=self.uniform_mix)

    def extra_repr(self) -> str:
        categories, dim = self.weight.shape
        mix = f", uniform_mix={self.uniform_mix}" if self.uniform_mix else ""
        return f"{categories}, {dim}, {str(self.estimator)!r}{mix}"
