"""Vectors replaced by codes of a codebook."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ..estimator import Estimator, EstimatorLike
from ..key import Key, chosen
from ._shared import apply, at_least_one, hard, uniforms
from .embedding import lookup

SMOOTHING = 1e-5  # of the moving averages of uses, so that no code is divided by zero
USE_DECAY = 0.99  # of the moving average of uses where only dead_code wants one


class Quantized(NamedTuple):
    """What `VectorQuantizer` returns.

    Attributes:
        quantized: codes, like the input, [.., D].
        index: which, int64, [..]; -1 where the input has NaN.
        loss: what is to be added to the training loss: a scalar.
        perplexity: 2 to the entropy, in bits, of the codes' use in this batch, from 1 to the number
            of codes; a scalar without a gradient.
    """

    quantized: torch.Tensor
    index: torch.Tensor  # type: ignore[assignment]
    loss: torch.Tensor
    perplexity: torch.Tensor


class _Rotated(torch.autograd.Function):
    """The code, whose gradient is that of a rotation and rescaling of x held constant.

    R turns the direction of x into that of the code: R = I - 2 r r^T + 2 q x^T with unit vectors x,
    q and r along x + q, so R^T g = g - 2 (g.r) r + 2 (g.q) x.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return code.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        x, code = ctx.saved_tensors
        g = grads[0]
        tiny = torch.finfo(x.dtype).tiny
        length = x.norm(dim=-1, keepdim=True).clamp(min=tiny)
        x_unit, q_unit = x / length, F.normalize(code, dim=-1, eps=tiny)
        r = F.normalize(x_unit + q_unit, dim=-1, eps=tiny)
        turned = (g - 2 * (g * r).sum(-1, keepdim=True) * r
                  + 2 * (g * q_unit).sum(-1, keepdim=True) * x_unit)
        return turned * (code.norm(dim=-1, keepdim=True) / length), None


class _Straight(torch.autograd.Function):
    """The code, whose gradient goes to x as it is."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return code.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return grads[0], None


class VectorQuantizer(nn.Module):
    """Replaces vectors by codes: distance, sample, lookup.

    Maths: logits_k = -|x - e_k|^2 / tau; k is the nearest code, or sampled from softmax(logits)
    with an estimator's gradient for x and the codebook through the logits; the result is e_k. With
    "nearest" the gradient of the result goes to x as it is, or rotated. The loss is
    mean |x - sg(e_k)|^2 * commitment + mean |sg(x) - e_k|^2, the second term without ema only.

    Args:
        codes: K, rows of the codebook.
        dim: D, numbers in a code.
        estimator: "nearest", or an `Estimator` or its spec string, with hard samples.
        commitment: weight of the loss that pulls x to its code, >= 0.
        ema: decay in [0, 1) of moving averages that are the codebook, updated in training mode;
            None to train the codebook by gradients. Source: van den Oord et al., arXiv 1711.00937,
            appendix A.1.
        dead_code: in training mode, a code whose moving average of uses per batch falls below it is
            put on a random vector of the batch; None never to.
        rotation: with "nearest", the gradient is turned and scaled as x is to become its code.
            Source: Fifty et al., arXiv 2410.06424.
        tau: temperature of sampled codes, > 0: of the size of squared distances from a vector to
            the codes near it.
        device, dtype: of the codebook.

    Attributes:
        weight: the codebook [K, D]: a parameter, or a buffer with ema. Begins uniform in +-1/K.
        uses, sums: buffers, where ema or dead_code needs them: moving averages of the uses of each
            code, [K], and with ema of the vectors that chose it, [K, D].

    Raises:
        ValueError: an argument out of its domain; rotation with sampled codes.

    Only one step in training mode may follow from one forward where ema or dead_code changes the
    codebook: keep such a quantizer out of activation checkpointing, which runs the forward twice.
    The averages are those of this process; DistributedDataParallel hands on those of the first.

    Source: van den Oord et al., Neural Discrete Representation Learning, arXiv 1711.00937; the
    estimators' papers, `gradthru.cite`.

    Examples:
        >>> import torch, gradthru
        >>> quantizer = gradthru.nn.VectorQuantizer(16, 4, "reinmax", tau=0.5)
        >>> z = quantizer(torch.randn(8, 10, 4, requires_grad=True))
        >>> z.quantized.shape, bool((z.quantized == quantizer.weight[z.index]).all())
        (torch.Size([8, 10, 4]), True)
    """

    estimator: Estimator | None
    weight: torch.Tensor
    uses: torch.Tensor
    sums: torch.Tensor

    def __init__(self, codes: int, dim: int,
                 estimator: EstimatorLike | Literal["nearest"] = "nearest", *,
                 commitment: float = 0.25, ema: float | None = None, dead_code: float | None = None,
                 rotation: bool = False, tau: float = 1.0,
                 device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        super().__init__()
        at_least_one("VectorQuantizer", codes=codes, dim=dim)
        self.estimator = None if estimator == "nearest" else hard(estimator, "VectorQuantizer")
        self.commitment, self.ema, self.dead_code = commitment, ema, dead_code
        self.rotation, self.tau = rotation, tau
        self._check()
        weight = torch.empty(codes, dim, device=device, dtype=dtype).uniform_(-1 / codes, 1 / codes)
        if ema is None:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)
            self.register_buffer("sums", weight.clone())
        if ema is not None or dead_code is not None:
            self.register_buffer("uses", torch.ones_like(weight[:, 0]))

    def _check(self) -> None:
        where = "VectorQuantizer: "
        if not 0 < self.tau < float("inf"):
            raise ValueError(where + f"tau must be finite and > 0, got {self.tau}")
        if not 0 <= self.commitment < float("inf"):
            raise ValueError(where + f"commitment must be finite and >= 0, got {self.commitment}")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ValueError(where + f"ema must be in [0, 1), got {self.ema}")
        if self.dead_code is not None and not self.dead_code > 0:
            raise ValueError(where + f"dead_code must be > 0, got {self.dead_code}")
        if self.rotation and self.estimator is not None:
            raise ValueError(where + "rotation is for the nearest code; "
                             f"{self.estimator} has a gradient of its own")

    @property
    def offsets_used(self) -> int:
        """How far to move a key between two calls."""
        sampled = self.estimator.offsets if self.estimator is not None else 0
        return sampled + (self.dead_code is not None)

    def _chosen(self, logits: torch.Tensor, x: torch.Tensor, codebook: torch.Tensor,
                key: Key) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes with their gradient, and indices."""
        if self.estimator is not None:
            return lookup(logits, codebook, hard(self.estimator, "VectorQuantizer"), key)
        greatest, index = logits.detach().max(-1)
        invalid = greatest.isnan()
        rows = F.embedding(index, codebook.detach())
        rows = rows.masked_fill(invalid.unsqueeze(-1), float("nan"))
        straight = _Rotated if self.rotation else _Straight
        code: torch.Tensor = apply(straight, x, rows)
        return code, index.masked_fill(invalid, -1)

    def forward(self, x: torch.Tensor, *, key: Key | None = None,
                generator: torch.Generator | None = None) -> Quantized:
        """Replaces vectors by codes.

        Args:
            x: [.., D]; channels-first images want ``movedim(1, -1)``.
            key, generator: where the draws come from, Torch's default CPU generator if neither is
                given; row n of all [..] rows draws in row ``key.row0 + n``. Under `torch.compile`
                a key is needed, unless nothing is drawn.

        Raises:
            ValueError: shapes that do not fit, a key and a generator, a schedule as estimator.

        Distances are computed in the codebook's dtype, under autocast too.
        """
        if x.shape[-1:] != self.weight.shape[1:]:
            raise ValueError(f"VectorQuantizer: x must be [.., {self.weight.shape[1]}], got "
                             f"{list(x.shape)}")
        changes = self.training and (self.ema is not None or self.dead_code is not None)
        drawn = self.estimator is not None or (self.training and self.dead_code is not None)
        k = chosen(key, generator) if drawn else Key(0)
        # The backward wants the codebook as it is now, not as this call leaves it.
        codebook = self.weight.clone() if changes else self.weight
        with torch.autocast(x.device.type, enabled=False):
            v = x.to(codebook.dtype)
            # Up to |x|^2, which all codes of a row have in common.
            squares = codebook.square().sum(-1)
            logits = (2 * (v @ codebook.t()) - squares) / self.tau
            if self.estimator is not None and self.estimator.method == "identity":
                logits = logits - v.square().sum(-1, keepdim=True) / self.tau
            quantized, index = self._chosen(logits, v, codebook, k)
            loss = self.commitment * F.mse_loss(v, quantized.detach())
            if self.ema is None:
                safe = index.clamp(min=0)
                loss = loss + F.mse_loss(F.embedding(safe, codebook), v.detach())
        flat = index.flatten()
        # Rows without a code are counted in a place of their own, beyond the codes.
        flat = torch.where(flat < 0, len(codebook), flat)
        counts = codebook.new_zeros(len(codebook) + 1).index_add(
            0, flat, codebook.new_ones(1).expand_as(flat))[:-1]
        if changes:
            self._update(v.detach().reshape(-1, v.shape[-1]), flat, counts, k)
        p = counts / counts.sum().clamp(min=1)
        perplexity = torch.exp(-torch.xlogy(p, p).sum())
        return Quantized(quantized.to(x.dtype), index, loss, perplexity)

    @torch.no_grad()
    def _update(self, x: torch.Tensor, index: torch.Tensor, counts: torch.Tensor, key: Key) -> None:
        """Moves the averages on by one batch, [N, D] and [N], and the codebook with them."""
        decay = USE_DECAY if self.ema is None else self.ema
        self.uses.lerp_(counts, 1 - decay)
        if self.ema is not None:
            chosen_x = x.new_zeros(len(counts) + 1, x.shape[1]).index_add(0, index, x)[:-1]
            self.sums.lerp_(chosen_x, 1 - decay)
            total = self.uses.sum()
            smoothed = (self.uses + SMOOTHING) / (total + len(counts) * SMOOTHING) * total
            self.weight.copy_(self.sums / smoothed.unsqueeze(-1))
        if self.dead_code is not None and len(x) > 0:
            self._revive(x, Key(key.seed, key.offset + self.offsets_used - 1))

    def _revive(self, x: torch.Tensor, key: Key) -> None:
        """Puts codes that are hardly used on random rows of x, as if they had one use per batch."""
        assert self.dead_code is not None
        dead = self.uses < self.dead_code
        u = uniforms(self.uses.double(), key)
        rows = x[(u * len(x)).long().clamp(max=len(x) - 1)]
        start = max(1.0, self.dead_code)
        self.weight.copy_(torch.where(dead.unsqueeze(-1), rows, self.weight))
        self.uses.masked_fill_(dead, start)
        if self.ema is not None:
            self.sums.copy_(torch.where(dead.unsqueeze(-1), rows * start, self.sums))

    def extra_repr(self) -> str:
        codes, dim = self.weight.shape
        words = [str(codes), str(dim), repr(str(self.estimator or "nearest"))]
        names = ("commitment", "ema", "dead_code", "rotation", "tau")
        words += [f"{name}={value}" for name in names
                  if (value := getattr(self, name)) not in (None, False)]
        return ", ".join(words)
