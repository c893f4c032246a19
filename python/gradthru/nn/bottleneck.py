"""A layer of categorical variables."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from ..estimator import Estimator, EstimatorLike, parse_estimator
from ..key import Key
from ..sampling import sample
from ._shared import at_least_one, pathwise, share

EvalMode = Literal["sample", "argmax"]


class CategoricalBottleneck(nn.Module):
    """L independent categorical variables of K categories, sampled, with an estimator's gradient.

    Args:
        latents: L.
        categories: K.
        estimator: an `Estimator` or a spec string. May be set again later, for example to
            ``schedule.at(progress)``.
        uniform_mix: share of the uniform law in the one that is sampled, in [0, 1).
        eval_mode: what happens in `eval()`: "sample" as in training, or "argmax", the most probable
            category (the first of equals), with the gradient of ``st``.

    Raises:
        ValueError: an argument out of its domain, an estimator without a gradient for samples.

    Shapes: logits [.., L, K] or [.., L * K], in nats, to one-hots of the same shape and dtype.

    Activation checkpointing gives the same draws in both passes: the key comes from Torch's default
    generator, whose state checkpointing restores, or is the one that was given.

    Source: the estimators' papers, `gradthru.cite`; uniform_mix: Hafner et al., arXiv 2301.04104.

    Examples:
        >>> import torch, gradthru
        >>> bottleneck = gradthru.nn.CategoricalBottleneck(4, 8, "reinmax(1.3)", uniform_mix=0)
        >>> z = bottleneck(torch.randn(16, 32, requires_grad=True))
        >>> z.shape, bool((z.view(16, 4, 8).sum(-1) == 1).all())
        (torch.Size([16, 32]), True)
    """

    estimator: Estimator

    def __init__(self, latents: int, categories: int, estimator: EstimatorLike = "reinmax", *,
                 uniform_mix: float = 0.0, eval_mode: EvalMode = "sample") -> None:
        super().__init__()
        at_least_one("CategoricalBottleneck", latents=latents, categories=categories)
        share("CategoricalBottleneck", "uniform_mix", uniform_mix)
        if eval_mode not in ("sample", "argmax"):
            raise ValueError("CategoricalBottleneck: eval_mode must be 'sample' or 'argmax', got "
                             f"{eval_mode!r}")
        self.latents, self.categories = latents, categories
        self.estimator = pathwise(estimator)
        self.uniform_mix, self.eval_mode = uniform_mix, eval_mode
        self._argmax = parse_estimator("st(tau_f=0,tau_b=1)")

    @property
    def offsets_used(self) -> int:
        """How far to move a key between two calls."""
        return self.estimator.offsets

    def _in_rows(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """[.., L, K]."""
        if x.shape[-2:] == (self.latents, self.categories):
            return x
        if x.dim() > 0 and x.shape[-1] == self.latents * self.categories:
            return x.reshape(*x.shape[:-1], self.latents, self.categories)
        raise ValueError(f"CategoricalBottleneck: {name} must be [.., {self.latents}, "
                         f"{self.categories}] or [.., {self.latents * self.categories}], got "
                         f"{list(x.shape)}")

    def forward(self, x: torch.Tensor, *, key: Key | None = None,
                generator: torch.Generator | None = None,
                mask: torch.Tensor | None = None) -> torch.Tensor:
        """Samples one-hots like the logits x.

        Args:
            x: logits, [.., L, K] or [.., L * K].
            key, generator: where the draws come from, Torch's default CPU generator if neither is
                given. Row n of all [.., L] rows draws in row ``key.row0 + n``. Under
                `torch.compile` a key is needed.
            mask: bool, False removes a category; [K], or [.., L, K] or [.., L * K] broadcastable.

        Raises:
            ValueError: shapes that do not fit, a key and a generator, a schedule as estimator.
        """
        logits = self._in_rows(x, "logits")
        if mask is not None and mask.shape[-1:] != (self.categories,):
            mask = self._in_rows(mask, "mask")
        if self.eval_mode == "argmax" and not self.training:
            return sample(logits, self._argmax, mask=mask, key=Key(0)).onehot.reshape(x.shape)
        z = sample(logits, self.estimator, mask=mask, generator=generator, key=key,
                   uniform_mix=self.uniform_mix)
        return z.onehot.reshape(x.shape)

    def extra_repr(self) -> str:
        words = [str(self.latents), str(self.categories), repr(str(self.estimator))]
        if self.uniform_mix:
            words.append(f"uniform_mix={self.uniform_mix}")
        if self.eval_mode != "sample":
            words.append(f"eval_mode={self.eval_mode!r}")
        return ", ".join(words)
