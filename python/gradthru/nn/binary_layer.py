"""What layers of stochastic binary units have in common."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .._library import ops
from ..estimator import Estimator, EstimatorLike, parse_estimator
from ..key import Key, chosen, signed
from ..sampling import Coding, _family, _plus_minus_one, sample_binary
from ._shared import _constant, apply, final, uniforms

LayerInput = Literal["real", "units"]
Propagation = Literal["ap1", "tanh", "ap2", "local_reparam"]
Convolution = tuple[list[int], list[int], list[int], int]  # stride, padding, dilation, groups

PROPAGATIONS = ("ap1", "tanh", "ap2", "local_reparam")


class BinarySample(NamedTuple):
    """Units of a layer and what made them.

    Attributes:
        x: values: sampled in the coding, or relaxed.
        preactivation: a, so that P(unit is on) = sigmoid(a).
    """

    x: torch.Tensor
    preactivation: torch.Tensor


class Moments(NamedTuple):
    """Mean and variance of every unit of a layer, as if they were independent.

    Attributes:
        mean: like the units.
        variance: like the units; None where the rule has none, as for real input.
    """

    mean: torch.Tensor
    variance: torch.Tensor | None = None


class _Psa(torch.autograd.Function):
    """States drawn as by st. Their gradient is flip gradients d, of which a gets s F'(a) d and the
    units below their own flip gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: torch.Tensor, below: torch.Tensor | None, weight: torch.Tensor,
                given: torch.Tensor | None, plus_minus_one: bool, convolution: Convolution | None,
                seed: int, offset: int, row0: int) -> torch.Tensor:
        st = parse_estimator("st")
        state: torch.Tensor = ops.sample_binary(a, given, None, None, "st", list(st.params), 0.0,
                                                seed, offset, row0, plus_minus_one, None)
        return state

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        a, below, weight, given, *call = inputs
        ctx.save_for_backward(a, below, weight if below is not None else None, output)
        ctx.call, ctx.given = call, given is not None

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        a, below, weight, state = ctx.saved_tensors
        plus_minus_one, convolution, *cells = ctx.call
        d = grads[0].to(a.dtype)
        # st turns a gradient s d / kappa of the states into s F'(a) d.
        grad_state = d * state * 0.5 if plus_minus_one else d * (2 * state - 1)
        st = parse_estimator("st")
        grad_a = ops.st_binary_backward(grad_state, a, state, None, None, list(st.params), 0.0,
                                        *cells, plus_minus_one, ctx.given)
        flips = None
        if below is not None and ctx.needs_input_grad[1]:
            units = (d, a, state, weight, below, plus_minus_one)
            flips = ops.psa_linear(*units) if convolution is None else ops.psa_conv2d(
                *units, *convolution)
        return *final("psa", (grad_a, flips), (a, below, weight, d)), *(None,) * 7


class _HardSt(torch.autograd.Function):
    """States drawn as by st, with the slope of the hard tanh: `height` where |a| < 1."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: torch.Tensor, state: torch.Tensor, height: float) -> torch.Tensor:
        return state.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.height = inputs[2]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        a = ctx.saved_tensors[0]
        grad_a = torch.where(a.abs() < 1, grads[0] * ctx.height, 0.0)
        return *final("hard_st", (grad_a,), (a, grads[0])), None, None


def layer_offsets_used(estimator: EstimatorLike) -> int:
    """Offsets of the random stream that one layer uses for one sample.

    Args:
        estimator: an `Estimator` or a spec string.

    Raises:
        ValueError: a spec string that is none; a schedule.

    Examples:
        >>> import gradthru
        >>> gradthru.nn.layer_offsets_used("psa"), gradthru.nn.layer_offsets_used("ap1")
        (1, 0)
    """
    e = _constant(estimator)
    if _family(e.spec) == "pathwise":
        return e.offsets
    return 0 if e.method in ("exact", "ap1", "ap2", "tanh") else 1


def normals(like: torch.Tensor, key: Key) -> torch.Tensor:
    """Standard normal numbers of this shape."""
    least = 2.0**-53  # a double next to 1 would be at infinity
    u = uniforms(like.detach().double(), key).clamp(least, 1 - least)
    z: torch.Tensor = torch.special.ndtri(u)
    return z.to(like.dtype)


class StochasticBinaryLayer(nn.Module):
    """A layer of stochastic binary units: unit j is on with probability sigmoid(a_j), a = W x + b.

    Not made itself: W is a matrix in `StochasticBinaryLinear`, a convolution in
    `StochasticBinaryConv2d`.

    Attributes:
        weight, bias: the parameters.
        coding: values of the units: -1 and 1 ("pm1") or 0 and 1 ("01").

    Source: Shekhovtsov, Yanush, Flach, NeurIPS 2020, arXiv 2006.03143.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    coding: Coding
    convolution: Convolution | None = None

    def __init__(self, sizes: list[int], coding: Coding, device: torch.device | str | None,
                 dtype: torch.dtype | None) -> None:
        super().__init__()
        _plus_minus_one(coding)
        self.coding = coding
        self.weight = nn.Parameter(torch.empty(sizes, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(sizes[:1], device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """PyTorch's default: uniform in +-1/sqrt(fan in), from Torch's default generator."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def preactivation(self, x: torch.Tensor) -> torch.Tensor:
        """a = W x + b, in nats: the logits of the units.

        Args:
            x: input of the layer.
        """
        raise NotImplementedError

    def spread(self, variance: torch.Tensor) -> torch.Tensor:
        """The variance of the preactivation of independent inputs.

        Args:
            variance: of the inputs, like them.
        """
        raise NotImplementedError

    def _check_units(self, x: torch.Tensor) -> None:
        off = -1 if self.coding == "pm1" else 0
        if not torch.all((x == 1) | (x == off)).item():
            raise ValueError(f"{type(self).__name__}: input must be units of values {off} and 1, "
                             "got others; input='real' is for real input")

    def sample(self, x: torch.Tensor, estimator: EstimatorLike = "psa", *,
               input: LayerInput = "units", given: torch.Tensor | None = None, check: bool = False,
               key: Key | None = None, generator: torch.Generator | None = None) -> BinarySample:
        """Samples the units and lets the gradient through by the estimator's rule.

        Args:
            x: input of the layer, [.., in] or [B, in, rows, columns].
            estimator: psa, hard_st, concrete, or a pathwise one: a value or a spec string.
            input: what x is: real numbers, as for a first layer, or sampled units in this coding.
            given: states that replace the draw (replay).
            check: look whether sampled input is of the coding's two values.
            key, generator: where the draws come from, Torch's default CPU generator if neither is
                given; element e of all units [B, ..] is element ``key.row0 + e``.

        Raises:
            ValueError: shapes that do not fit, estimators that are no rule for one layer.

        With psa it is flip gradients that pass from layer to layer: what arrives at x must be the
        loss that is lost by a flip, as `head_loss` hands it down with signal="flip" and psa layers
        do; real input has an ordinary gradient.
        """
        if input not in ("real", "units"):
            raise ValueError(f"{type(self).__name__}: input must be 'real' or 'units', "
                             f"got {input!r}")
        e, units_below, pm1 = _constant(estimator), input == "units", self.coding == "pm1"
        if check and units_below:
            self._check_units(x)
        k = chosen(key, generator)
        # The flip gradient takes the place of the derivative through W.
        flips = e.method == "psa" and units_below
        # Under autocast the product is in half precision; the rules below are not.
        a = self.preactivation(x.detach() if flips else x).to(self.weight.dtype)
        if e.method == "psa":
            below = x.to(a.dtype) if flips else None
            state = apply(_Psa, a, below, self.weight.detach(), given, pm1, self.convolution,
                          signed(k.seed), k.offset, k.row0)
            return BinarySample(state, a)
        if e.method == "concrete":
            if given is not None:
                raise ValueError("concrete: has no states that could be given")
            soft = parse_estimator(f"gumbel_softmax(tau={e.params[1]!r},hard=false)")
            return BinarySample(sample_binary(a, soft, coding=self.coding, key=k), a)
        if e.method == "hard_st":
            drawn = sample_binary(a.detach(), "st", coding=self.coding, key=k, given=given)
            return BinarySample(apply(_HardSt, a, drawn, 1.0 if pm1 else 0.5), a)
        if _family(e.spec) != "pathwise":
            raise ValueError(f"{e.spec} is no rule for a sampled layer; moments() propagates ap1, "
                             "tanh, ap2 and local_reparam")
        return BinarySample(sample_binary(a, e, coding=self.coding, key=k, given=given), a)

    def forward(self, x: torch.Tensor, estimator: EstimatorLike = "psa", *,
                input: LayerInput = "units", given: torch.Tensor | None = None, check: bool = False,
                key: Key | None = None, generator: torch.Generator | None = None) -> torch.Tensor:
        """The units of `sample`, without their preactivations.

        Args:
            x, estimator, input, given, check, key, generator: as in `sample`.

        Raises:
            ValueError: as in `sample`.
        """
        return self.sample(x, estimator, input=input, given=given, check=check, key=key,
                           generator=generator).x

    def moments(self, below: Moments, rule: Propagation, *, key: Key | None = None) -> Moments:
        """The moments of the units from those of what they see.

        Args:
            below: mean and variance of the input; no variance for real numbers.
            rule: ap1 (means alone), tanh (the same with tanh(a) for the mean, another network), ap2
                (variances too) or local_reparam (as ap2, but the preactivation is drawn).
            key: of local_reparam's draws.

        Raises:
            ValueError: an unknown rule, local_reparam without a key.
        """
        if rule not in PROPAGATIONS:
            raise ValueError(f"moments: rule must be one of {', '.join(PROPAGATIONS)}, "
                             f"got {rule!r}")
        pm1, a = self.coding == "pm1", self.preactivation(below.mean)
        if rule == "ap1":
            return Moments(torch.tanh(a / 2) if pm1 else torch.sigmoid(a))
        if rule == "tanh":
            return Moments(torch.tanh(a) if pm1 else torch.sigmoid(2 * a))
        if rule == "local_reparam" and key is None:
            raise ValueError("moments: local_reparam wants a key")
        if below.variance is not None:
            v = self.spread(below.variance)
            if key is not None and rule == "local_reparam":
                a = a + v.sqrt() * normals(a, key)
            else:
                a = a / torch.sqrt(1 + 3 / math.pi**2 * v)
        p = torch.sigmoid(a)
        variance = p * (1 - p)
        return Moments(2 * p - 1, 4 * variance) if pm1 else Moments(p, variance)
