"""Networks of stochastic binary layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from ..estimator import Estimator, EstimatorLike
from ..key import Key, chosen
from ..sampling import Coding, _relaxed
from ._shared import _constant, at_least_one
from .binary import StochasticBinaryLinear
from .binary_layer import (
    PROPAGATIONS,
    BinarySample,
    Moments,
    Propagation,
    StochasticBinaryLayer,
    layer_offsets_used,
    normals,
)
from .head import LOSSES, NetworkLoss, head_loss, loss_of


class Evaluation(NamedTuple):
    """How a stochastic network does on a set of examples, from n noise samples of each.

    Attributes:
        examples: how many.
        loss: mean over samples: an estimate of the objective, in nats.
        acc1: mean accuracy of one sample; NaN without classes.
        acc_ens: accuracy of the mean prediction of 1, 2 .. n samples.
        entropy: of the units given the layer below, by layer, in bits.
    """

    examples: int
    loss: float
    acc1: float
    acc_ens: list[float]
    entropy: list[float]


class StochasticBinarySequential(nn.Module):
    """A network of stochastic binary layers with a linear head and a loss.

    Maths: x^0 the input, real; x^l ~ P(x^l | x^{l-1}) for the L layers; the objective is
    E l(W_o x^L + b_o, y), the expectation outside the loss. Between a convolution and a linear
    layer (or the head) the units of an example are put in one row.

    Args:
        layers: at least one, all of one coding.
        outputs: C, of the head.
        loss: softmax_nll, logistic or squared, see `loss_of`.
        units: of the last layer for one example, needed where it is a convolution.

    Attributes:
        weight, bias: of the head: [C, units], [C].

    Raises:
        ValueError: no layer, layers of two codings, an unknown loss, sizes below 1, no units for a
            convolution on top.

    Draws: layer l at ``key.offset`` + what the layers below use (one offset each with psa), example
    i in the rows of batch0 + i: the draws of the whole batch, however it is split, and those of the
    C++ network of the same name.

    Source: Shekhovtsov, Yanush, Flach: Path Sample-Analytic Gradient Estimators for Stochastic
    Binary Networks, NeurIPS 2020, arXiv 2006.03143.

    Examples:
        >>> import torch, gradthru
        >>> from gradthru.nn import StochasticBinaryLinear, StochasticBinarySequential
        >>> net = StochasticBinarySequential(
        ...     [StochasticBinaryLinear(8, 20), StochasticBinaryLinear(20, 20)], 3)
        >>> stream = gradthru.Key(7)
        >>> x, y = torch.randn(16, 8), torch.randint(3, (16,))
        >>> net(x, y, "psa", key=stream.take(net.offsets_used("psa"))).backward()
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, layers: Sequence[StochasticBinaryLayer], outputs: int,
                 loss: NetworkLoss = "softmax_nll", units: int | None = None) -> None:
        super().__init__()
        name = "StochasticBinarySequential"
        if not layers:
            raise ValueError(f"{name}: wants at least one layer, got none")
        if any(layer.coding != layers[0].coding for layer in layers):
            raise ValueError(f"{name}: all layers must have one coding")
        if loss not in LOSSES:
            raise ValueError(f"{name}: loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        if units is None and not isinstance(layers[-1], StochasticBinaryLinear):
            raise ValueError(f"{name}: the units of the last layer must be given where it is a "
                             "convolution")
        n = len(layers[-1].bias) if units is None else units
        at_least_one(name, outputs=outputs, units=n)
        for position, layer in enumerate(layers):
            self.add_module(f"layer{position}", layer)
        self.depth, self.loss_kind = len(layers), loss
        like = layers[-1].weight
        self.weight = nn.Parameter(like.new_empty(outputs, n))
        self.bias = nn.Parameter(like.new_empty(outputs))
        bound = 1 / math.sqrt(n)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    @property
    def layers(self) -> list[StochasticBinaryLayer]:
        """From the input up."""
        found = [self.get_submodule(f"layer{position}") for position in range(self.depth)]
        return [layer for layer in found if isinstance(layer, StochasticBinaryLayer)]

    @property
    def coding(self) -> Coding:
        """Values of the units."""
        return self.layers[0].coding

    def offsets_used(self, estimator: EstimatorLike) -> int:
        """How far to move a key between two calls of `forward`.

        Args:
            estimator: an `Estimator` or a spec string.

        Raises:
            ValueError: a spec string that is none; a schedule.
        """
        e = _constant(estimator)
        return layer_offsets_used(e) * self.depth + (e.method == "local_reparam")

    def _key(self, key: Key, each_layer: int, layer: int, batch0: int, input: torch.Tensor) -> Key:
        if batch0 == 0:
            return Key(key.seed, key.offset + each_layer * layer)
        module = self.layers[layer]
        with torch.no_grad():
            units = module.preactivation(input[:1].detach()).numel()
        return Key(key.seed, key.offset + each_layer * layer, batch0 * units)

    def _run(self, x: torch.Tensor, e: Estimator, key: Key, batch0: int,
             given: Sequence[torch.Tensor] | None = None) -> list[BinarySample]:
        each = layer_offsets_used(e)
        samples: list[BinarySample] = []
        for position, layer in enumerate(self.layers):
            input = _as_input_of(layer, samples[-1].x if samples else x)
            samples.append(layer.sample(
                input, e, input="units" if position else "real",
                given=None if given is None else given[position],
                key=self._key(key, each, position, batch0, input)))
        return samples

    def _propagated(self, x: torch.Tensor, target: torch.Tensor, rule: Propagation, key: Key,
                    batch0: int) -> torch.Tensor:
        m = Moments(x)
        for position, layer in enumerate(self.layers):
            m = _moments_as_input_of(layer, m)
            k = self._key(key, 1, position, batch0, m.mean) if rule == "local_reparam" else None
            m = layer.moments(m, rule, key=k)
        eta = F.linear(m.mean.flatten(1), self.weight, self.bias)
        if rule == "local_reparam" and m.variance is not None:
            v = F.linear(m.variance.flatten(1), self.weight.square())
            top = Key(key.seed, key.offset + self.depth, batch0 * eta.shape[1])
            eta = eta + v.sqrt() * normals(eta, top)
        return loss_of(self.loss_kind, eta, target).mean()

    def forward(self, x: torch.Tensor, target: torch.Tensor, estimator: EstimatorLike = "psa", *,
                batch0: int = 0, one_flip_average: bool = True,
                given: Sequence[torch.Tensor] | None = None, key: Key | None = None,
                generator: torch.Generator | None = None) -> torch.Tensor:
        """An estimate of the objective whose backward gives the estimator's gradient.

        Args:
            x: real, [B, ..].
            target: as in `loss_of`.
            estimator: psa, hard_st, concrete, a pathwise one: one sample of the network; ap1, tanh,
                ap2, local_reparam: no sampled units, the value is their own objective.
            batch0: index of the first example in the whole batch.
            one_flip_average: of the head where units are sampled, see `head_loss`.
            given: states of each layer in place of the draw.
            key, generator: where the draws come from, Torch's default CPU generator if neither is
                given. Under `torch.compile` a key is needed.

        Returns:
            The mean over the batch, a scalar, in nats.

        Raises:
            ValueError: shapes, targets and estimators that do not fit, a key and a generator.
            TypeError: classes that are not int64.
        """
        e = _constant(estimator)
        k = Key(0) if layer_offsets_used(e) == 0 else chosen(key, generator)
        if e.method in PROPAGATIONS:
            return self._propagated(x, target, cast(Propagation, e.method), k, batch0)
        top = self._run(x, e, k, batch0, given)[-1]
        units = top.x.flatten(1)
        if e.method == "concrete" or _relaxed(e.spec):
            eta = F.linear(units, self.weight, self.bias)
            return loss_of(self.loss_kind, eta, target).mean()
        return head_loss(units, top.preactivation.flatten(1), self.weight, self.bias, target,
                         loss=self.loss_kind, coding=self.coding,
                         signal="flip" if e.method == "psa" else "derivative",
                         one_flip_average=one_flip_average).mean()

    @torch.no_grad()
    def sample(self, x: torch.Tensor, *, batch0: int = 0, key: Key | None = None,
               generator: torch.Generator | None = None) -> list[BinarySample]:
        """The units of every layer of one sample, drawn as by `forward` with psa; no gradient.

        Args:
            x: real, [B, ..].
            batch0, key, generator: as in `forward`.

        Returns:
            A `BinarySample` for each layer, from the input up.

        Raises:
            ValueError: shapes that do not fit, a key and a generator.
        """
        return self._run(x, _constant("st"), chosen(key, generator), batch0)

    @torch.no_grad()
    def evaluate(self, x: torch.Tensor, target: torch.Tensor, n: int, *, batch0: int = 0,
                 one_flip_average: bool = True, key: Key | None = None,
                 generator: torch.Generator | None = None) -> Evaluation:
        """Runs the network n times on each example; sample s draws at ``key.offset + s L``.

        Args:
            x: real, [B, ..].
            target: as in `loss_of`.
            n: samples of each example.
            batch0, one_flip_average, key, generator: as in `forward`.

        Raises:
            ValueError: n < 1, shapes that do not fit.
        """
        at_least_one("evaluate", n=n)
        k, st = chosen(key, generator), _constant("st")
        predictions, entropy = torch.zeros(()), torch.zeros(self.depth, dtype=torch.double)
        losses: list[float] = []
        alone: list[float] = []
        right: list[float] = []
        for s in range(n):
            layers = self._run(x, st, Key(k.seed, k.offset + s * self.depth), batch0)
            entropy += torch.stack([_bits(a) for _, a in layers]) / n
            units = layers[-1].x.flatten(1)
            eta = F.linear(units, self.weight, self.bias)
            value = head_loss(units, layers[-1].preactivation.flatten(1), self.weight, self.bias,
                              target, loss=self.loss_kind, coding=self.coding) if (
                one_flip_average) else loss_of(self.loss_kind, eta, target)
            losses.append(float(value.mean()))
            if self.loss_kind == "squared":
                continue
            p = torch.sigmoid(eta) if self.loss_kind == "logistic" else torch.softmax(eta, -1)
            predictions = predictions + p
            alone.append(self._accuracy(p, target))
            right.append(self._accuracy(predictions / (s + 1), target))
        mean = math.fsum(alone) / n if alone else math.nan
        return Evaluation(len(x), math.fsum(losses) / n, mean, right, entropy.tolist())

    def _accuracy(self, p: torch.Tensor, target: torch.Tensor) -> float:
        logistic = self.loss_kind == "logistic"
        right = (p.squeeze(-1) > 0.5) == (target > 0) if logistic else p.argmax(-1) == target
        return float(right.double().mean())

    @torch.no_grad()
    def normalise(self, x: torch.Tensor, rule: Propagation = "ap1") -> None:
        """Scales the hidden layers, one after another, for this batch.

        Every unit (channel of a convolution) gets preactivations of mean 0 and standard deviation
        1, where the units below are what the rule makes of them; with ap2 their own variance
        counts.

        Args:
            x: the batch, real, [B, ..].
            rule: ap1, tanh or ap2, as in `StochasticBinaryLayer.moments`.

        Raises:
            ValueError: local_reparam, which has no fixed moments.
        """
        if rule == "local_reparam":
            raise ValueError("normalise: local_reparam has no fixed moments")
        m = Moments(x)
        for layer in self.layers:
            m = _moments_as_input_of(layer, m)
            a = layer.preactivation(m.mean)
            axes = [axis for axis in range(a.dim()) if axis != 1]
            mean, variance = a.mean(axes), a.var(axes, correction=0)
            if m.variance is not None:
                variance = variance + layer.spread(m.variance).mean(axes)
            # A unit that does not depend on the data keeps its scale.
            deviation = torch.where(variance > 0, variance.sqrt(), 1.0)
            layer.weight.div_(deviation.reshape(-1, *(1,) * (layer.weight.dim() - 1)))
            layer.bias.sub_(mean).div_(deviation)
            m = layer.moments(m, rule)

    def extra_repr(self) -> str:
        return f"outputs={len(self.bias)}, loss={self.loss_kind!r}, units={self.weight.shape[1]}"


def _as_input_of(layer: StochasticBinaryLayer, x: torch.Tensor) -> torch.Tensor:
    """Units as the layer wants to see them: those of an example in one row for a linear layer."""
    return x.flatten(1) if isinstance(layer, StochasticBinaryLinear) and x.dim() > 2 else x


def _moments_as_input_of(layer: StochasticBinaryLayer, m: Moments) -> Moments:
    variance = None if m.variance is None else _as_input_of(layer, m.variance)
    return Moments(_as_input_of(layer, m.mean), variance)


def _bits(a: torch.Tensor) -> torch.Tensor:
    """Mean entropy of units with these preactivations."""
    p = torch.sigmoid(a)
    nats = -(p * F.logsigmoid(a) + (1 - p) * F.logsigmoid(-a))
    return nats.double().mean() / math.log(2)
