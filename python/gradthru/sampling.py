"""Sampling with a gradient, and expectations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch

from ._library import answer, ops
from .estimator import Estimator, EstimatorLike, as_estimator, parse_estimator
from .key import Key, chosen, signed

Coding = Literal["01", "pm1"]
"""Values of a Bernoulli variable that is off and on: 0 and 1, or -1 and 1."""


class Sample(NamedTuple):
    """What `sample` returns.

    Attributes:
        onehot: the sampled categories as one-hot vectors, like the logits (with a leading dimension
            S if samples are asked for); it carries the gradient.
        index: int64, without the dimension of the categories.
    """

    onehot: torch.Tensor
    index: torch.Tensor  # type: ignore[assignment]  # as in C++, over tuple.index


def _plus_minus_one(coding: Coding) -> bool:
    if coding not in ("01", "pm1"):
        raise ValueError(f"coding must be '01' or 'pm1', got {coding!r}")
    return coding == "pm1"


def _constant(estimator: EstimatorLike) -> Estimator:
    e = as_estimator(estimator)
    if not e.params:
        raise ValueError(f"{e.spec}: a scheduled temperature has no value yet; use e.at(progress)")
    return e


def _check_sampling(e: Estimator) -> None:
    family = _family(e.spec)
    if family == "score":
        raise ValueError(f"{e.method}: uses the values of f, so it has no gradient for a sample; "
                         "use expectation(f, logits, estimator)")
    if family == "network":
        raise ValueError(f"{e.method}: is a rule for the layers of a binary network; "
                         "use gradthru.nn.StochasticBinaryLinear")


@functools.lru_cache(maxsize=1024)
def _family_of(spec: str) -> str:
    return str(answer(ops.about, spec)[2])


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _family(spec: str) -> str:
    return _family_of(spec)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _relaxed(spec: str) -> bool:
    return bool(answer(ops.traits, spec)[5])


def sample(
    logits: torch.Tensor,
    estimator: EstimatorLike = "reinmax",
    *,
    dim: int = -1,
    mask: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
    key: Key | None = None,
    samples: int | None = None,
    index: torch.Tensor | None = None,
    tau_f: torch.Tensor | None = None,
    tau_b: torch.Tensor | None = None,
    uniform_mix: float = 0.0,
) -> Sample:
    """Draws a category per row of the logits and lets the gradient through by the estimator's rule.

    Args:
        logits: float64, float32, float16 or bfloat16, any shape and strides, in nats.
        estimator: an `Estimator` or a spec string.
        dim: the dimension of the categories.
        mask: bool, broadcastable to the logits; False removes a category.
        generator: where the key is drawn from; Torch's default CPU generator if there is no key.
        key: names the random numbers; excludes a generator.
        samples: S draws per row: the results get a leading dimension S.
        index: int64 indices that replace the draw; -1 skips a row.
        tau_f, tau_b: temperatures per row in place of the estimator's, broadcastable to the rows.
        uniform_mix: share of the uniform law in the one that is sampled, in [0, 1).

    Returns:
        A `Sample`. The gradient goes to the logits only.

    Raises:
        ValueError: shapes, values or options that do not fit, in words; an estimator without a
            gradient for samples; a schedule; a key and a generator.
        TypeError: dtypes that do not fit.
        IndexError: dim out of range.

    Source: the estimator's, `gradthru.cite`.

    A row without a possible category, or with NaN or +inf, is NaN with index -1, and so is its
    gradient. A second derivative and forward-mode differentiation are refused.

    Examples:
        >>> import torch, gradthru
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> z = gradthru.sample(logits, "reinmax(1.3)", key=gradthru.Key(seed=7))
        >>> z.onehot.sum(-1)
        tensor([1., 1.], grad_fn=<SumBackward1>)
    """
    e = _constant(estimator)
    _check_sampling(e)
    k = chosen(key, generator)
    onehot, drawn = ops.sample(logits, index, mask, tau_f, tau_b, e.method, list(e.params),
                               uniform_mix, signed(k.seed), k.offset, k.row0, dim, samples)
    return Sample(onehot, drawn)


def sample_index(
    logits: torch.Tensor,
    estimator: EstimatorLike = "reinmax",
    *,
    dim: int = -1,
    mask: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
    key: Key | None = None,
    samples: int | None = None,
    tau_f: torch.Tensor | None = None,
    uniform_mix: float = 0.0,
) -> torch.Tensor:
    """The index of `sample` alone, by the same random numbers; no one-hot is written.

    For tables that are looked up by it. `gradthru.nn.StraightThroughEmbedding` does so with a gradient.

    Args:
        logits, estimator, dim, mask, generator, key, samples, tau_f, uniform_mix: as in `sample`.

    Returns:
        int64, without the dimension of the categories, with a leading S if samples are asked for;
        -1 for a row without a possible category, or with NaN or +inf. It has no gradient.

    Raises:
        ValueError: shapes, values or options that do not fit, in words; an estimator without a
            gradient for samples; a schedule; a key and a generator.
        TypeError: dtypes that do not fit.
        IndexError: dim out of range.

    Source: the estimator's, `gradthru.cite`.

    Examples:
        >>> import torch, gradthru
        >>> logits, key = torch.randn(5, 3), gradthru.Key(seed=7)
        >>> index = gradthru.sample_index(logits, "st", key=key)
        >>> bool((index == gradthru.sample(logits, "st", key=key).index).all())
        True
    """
    e = _constant(estimator)
    _check_sampling(e)
    k = chosen(key, generator)
    drawn: torch.Tensor = ops.sample_index(
        logits, None, mask, tau_f, None, e.method, list(e.params), uniform_mix, signed(k.seed),
        k.offset, k.row0, dim, samples)
    return drawn.clamp(min=-1)


def sample_binary(
    logits: torch.Tensor,
    estimator: EstimatorLike = "reinmax",
    *,
    coding: Coding = "01",
    generator: torch.Generator | None = None,
    key: Key | None = None,
    samples: int | None = None,
    given: torch.Tensor | None = None,
    tau_f: torch.Tensor | None = None,
    tau_b: torch.Tensor | None = None,
    uniform_mix: float = 0.0,
) -> torch.Tensor:
    """Draws a Bernoulli variable per element, P(on) = sigmoid(logits / tau_f), with a gradient.

    Args:
        logits: any shape and strides, in nats; float64, float32, float16 or bfloat16.
        estimator: an `Estimator` or a spec string.
        coding: values 0 and 1 ("01") or -1 and 1 ("pm1").
        given: values in the coding that replace the draw.
        generator, key, samples, uniform_mix: as in `sample`; element e of the logits draws in
            element ``key.row0 + e``.
        tau_f, tau_b: temperatures in place of the estimator's, broadcastable to the logits.

    Returns:
        The values, like the logits, with a leading S if samples are asked for. With relaxed samples
        (``hard=false``) they lie between those of the coding.

    Raises:
        ValueError: shapes, values or options that do not fit, in words; an estimator without a
            gradient for samples; a schedule; a key and a generator.
        TypeError: dtypes that do not fit.

    An element that is NaN is NaN, and so is its gradient. A second derivative and forward-mode
    differentiation are refused.

    Source: the estimator's, `gradthru.cite`.

    Examples:
        >>> import torch, gradthru
        >>> gradthru.sample_binary(torch.full((3,), 50.0), "st", coding="pm1")
        tensor([1., 1., 1.])
    """
    e = _constant(estimator)
    _check_sampling(e)
    k = chosen(key, generator)
    return ops.sample_binary(  # type: ignore[no-any-return]
        logits, given, tau_f, tau_b, e.method, list(e.params), uniform_mix, signed(k.seed),
        k.offset, k.row0, _plus_minus_one(coding), samples)


def offsets_used(estimator: EstimatorLike, samples: int | None = None) -> int:
    """How far to move a key between two calls of `sample` or `sample_binary`.

    Args:
        estimator: an `Estimator` or a spec string.
        samples: what the calls are given.

    Raises:
        ValueError: a spec string that is none.

    Examples:
        >>> import gradthru
        >>> gradthru.offsets_used("gumbel_rao(10)")
        11
    """
    return as_estimator(estimator).offsets * (1 if samples is None else samples)


Function = Callable[[torch.Tensor], torch.Tensor]
"""f of an expectation: states z [E, B.., L, K], one-hot (with a coding [E, B.., L]), to values
[E, B..]."""


def expectation(
    f: Function,
    logits: torch.Tensor,
    estimator: EstimatorLike = "rloo",
    *,
    coding: Coding | None = None,
    samples: int = 1,
    baseline: torch.Tensor | None = None,
    decay: float = 0.9,
    generator: torch.Generator | None = None,
    key: Key | None = None,
) -> torch.Tensor:
    """The mean over the batch of an estimate of E f(z), whose backward is the estimator's gradient.

    It hides what the estimator wants of f: its gradient at a sample (pathwise estimators), its values
    at several samples (`reinforce`, `rloo`, `arm` …), or all states (`exact`).

    Args:
        f: takes z [E, B.., L, K] one-hot (with a coding [E, B.., L]) to values [E, B..].
        logits: [B.., L, K] of L independent categorical variables; with a coding [B.., L] of
            Bernoulli variables.
        estimator: an `Estimator` or a spec string.
        coding: of Bernoulli variables: "01" or "pm1".
        samples: independent estimates that are averaged.
        baseline: state of `reinforce(baseline=moving)`, a tensor without dimensions, changed in place.
        decay: of the moving baseline, in [0, 1).
        generator, key: as in `sample`.

    Returns:
        A scalar, in the unit of f.

    Raises:
        ValueError: shapes, values or options that do not fit, in words; more than 2**20 states for
            `exact`, more than two categories for `arm` and `disarm`; a key and a generator.
        TypeError: dtypes that do not fit.

    Source: surrogate losses: Schulman et al., arXiv 1506.05254; the estimator's, `gradthru.cite`.

    Examples:
        >>> import torch, gradthru
        >>> logits = torch.zeros(4, 2, 3, requires_grad=True)
        >>> f = lambda z: (z[..., 0].sum(-1) - 0.5) ** 2
        >>> gradthru.expectation(f, logits, "exact").backward()
        >>> logits.grad.shape
        torch.Size([4, 2, 3])
    """
    e = as_estimator(estimator)
    k = Key(0) if e.method == "exact" else chosen(key, generator)
    binary = None if coding is None else _plus_minus_one(coding)
    cells = (signed(k.seed), k.offset, k.row0)
    points = ops.expectation_points(logits, e.spec, binary, samples, baseline, *cells)
    values = f(points)
    return ops.expectation_combine(  # type: ignore[no-any-return]
        values, logits, e.spec, binary, samples, baseline, decay, *cells).mean()


def expectation_offsets_used(estimator: EstimatorLike, samples: int = 1) -> int:
    """How far to move a key between two calls of `expectation`.

    Args:
        estimator: an `Estimator` or a spec string.
        samples: what the calls are given.

    Raises:
        ValueError: a spec string that is none.

    Examples:
        >>> import gradthru
        >>> gradthru.expectation_offsets_used("rloo(4)")
        4
    """
    return int(ops.expectation_offsets_used(as_estimator(estimator).spec, samples))


__all__ = ["Coding", "Function", "Sample", "expectation", "expectation_offsets_used",
           "offsets_used", "parse_estimator", "sample", "sample_binary"]
