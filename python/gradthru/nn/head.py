"""The loss at the top of a network of binary units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch.nn import functional as F

from ..sampling import Coding, _plus_minus_one
from ._shared import apply, final

NetworkLoss = Literal["softmax_nll", "logistic", "squared"]
HeadSignal = Literal["derivative", "flip"]

LOSSES = ("softmax_nll", "logistic", "squared")
BLOCK = 2**20  # the most numbers that a temporary of head_loss holds, unless B C is more


def _check_target(loss: NetworkLoss, eta: torch.Tensor, target: torch.Tensor) -> None:
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
    wanted = eta.shape[-2:] if loss == "squared" else eta.shape[-2:-1]
    if target.shape != wanted:
        raise ValueError(f"loss_of: target must have the shape {list(wanted)}, got "
                         f"{list(target.shape)}")
    if loss == "softmax_nll" and target.dtype != torch.long:
        raise TypeError(f"loss_of: the classes of softmax_nll must be int64, got {target.dtype}")
    if loss == "logistic" and eta.shape[-1] != 1:
        raise ValueError(f"loss_of: logistic wants 1 output, got {eta.shape[-1]}")


def loss_of(loss: NetworkLoss, eta: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss of outputs eta [.., B, C], [.., B], in nats.

    Args:
        loss: softmax_nll: -log softmax(eta)_y, y an int64 class; logistic: log(1 + exp(-y eta)),
            y -1 or 1, C = 1; squared: |eta - y|^2 / 2, y [B, C].
        eta: outputs.
        target: y, [B]; squared: [B, C]. Classes out of range are not noticed.

    Raises:
        ValueError: shapes or words that do not fit.
        TypeError: classes that are not int64.

    Examples:
        >>> import torch, gradthru
        >>> gradthru.nn.loss_of("logistic", torch.zeros(2, 1), torch.tensor([1.0, -1.0]))
        tensor([0.6931, 0.6931])
    """
    if eta.dim() < 2:
        raise ValueError(f"loss_of: outputs must be [.., B, C], got {list(eta.shape)}")
    _check_target(loss, eta, target)
    if loss == "squared":
        return (eta - target).square().sum(-1) / 2
    if loss == "logistic":
        return F.softplus(-target * eta.squeeze(-1))
    index = target.unsqueeze(-1).expand(*eta.shape[:-1], 1)
    return -F.log_softmax(eta, -1).gather(-1, index).squeeze(-1)


def _slope_of(loss: NetworkLoss, eta: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """d loss / d eta, [.., B, C]."""
    if loss == "squared":
        return eta - target
    if loss == "logistic":
        y = target.to(eta.dtype).unsqueeze(-1)
        return -y * torch.sigmoid(-y * eta)
    index = target.unsqueeze(-1).expand(*eta.shape[:-1], 1)
    return torch.softmax(eta, -1).scatter_add(-1, index, -torch.ones_like(eta[..., :1]))


def _flips(x: torch.Tensor, a: torch.Tensor,
           plus_minus_one: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What a flip changes of each unit, and the share of the average it has, both [B, n]."""
    on, kappa = x > 0, 2.0 if plus_minus_one else 1.0
    change = torch.where(on, -kappa, kappa).to(x.dtype)
    return change, torch.where(on, torch.sigmoid(-a), torch.sigmoid(a)) / x.shape[1]


def _after_flips(eta: torch.Tensor, change: torch.Tensor,
                 weight: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Blocks of units, with the outputs after the flip of each: [units, B, C]."""
    block = max(1, BLOCK // max(1, eta.shape[0] * eta.shape[1]))
    for first in range(0, change.shape[1], block):
        part = slice(first, first + block)
        yield part, torch.addcmul(eta.unsqueeze(0), change[:, part].t().unsqueeze(-1),
                                  weight[:, part].t().unsqueeze(1))


class _Head(torch.autograd.Function):
    """The value [B], and what the loss loses by each flip, [n, B], if anything asks for it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor,
                a: torch.Tensor, target: torch.Tensor, loss: NetworkLoss, plus_minus_one: bool,
                flip: bool, average: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        eta = torch.addmm(bias, x, weight.t())
        f = loss_of(loss, eta, target)
        if not flip and not average:
            return f, None
        change, rho = _flips(x, a, plus_minus_one)
        lost = f - torch.cat([loss_of(loss, eta_i, target)
                              for _, eta_i in _after_flips(eta, change, weight)])
        return (f - (lost * rho.t()).sum(0) if average else f), (lost if flip else None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        if output[1] is not None:
            ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs[:5], output[1])
        ctx.loss, ctx.plus_minus_one, _, ctx.average = inputs[5:]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight, bias, a, target, lost = ctx.saved_tensors
        g, eta = grads[0].unsqueeze(-1), torch.addmm(bias, x, weight.t())
        slope = g * _slope_of(ctx.loss, eta, target)
        grad_x = slope @ weight if lost is None else g * lost.t()
        if not ctx.average:
            gradients = [grad_x, slope.t() @ x, slope.sum(0)]
            return *final("head_loss", gradients, (x, weight, bias, g)), *(None,) * 6
        change, rho = _flips(x, a, ctx.plus_minus_one)
        total, columns = slope * (1 - rho.sum(1, keepdim=True)), []
        for part, eta_i in _after_flips(eta, change, weight):
            slope_i = _slope_of(ctx.loss, eta_i, target) * (g * rho)[:, part].t().unsqueeze(-1)
            total = total + slope_i.sum(0)
            columns.append((change[:, part].t().unsqueeze(1) @ slope_i).squeeze(1))
        gradients = [grad_x, total.t() @ x + torch.cat(columns).t(), total.sum(0)]
        return *final("head_loss", gradients, (x, weight, bias, g)), *(None,) * 6


def head_loss(x: torch.Tensor, preactivation: torch.Tensor, weight: torch.Tensor,
              bias: torch.Tensor, target: torch.Tensor, *, loss: NetworkLoss = "softmax_nll",
              coding: Coding = "pm1", signal: HeadSignal = "derivative",
              one_flip_average: bool = True) -> torch.Tensor:
    """The linear head of a network of binary units with its loss, for each example.

    Maths: f(x) = l(W x + b, y). With one_flip_average the value is f(x) (1 - sum_i rho_i) +
    sum_i rho_i f(flip_i x), rho_i = P(unit i is in its other state) / n: the average over i of the
    exact expectation over unit i. Same mean, less variance.

    Args:
        x: sampled units in their coding, [B, n].
        preactivation: what gave them their probabilities, [B, n]; gets no gradient.
        weight, bias: [C, n], [C].
        target, loss: as in `loss_of`.
        coding: values 0 and 1 ("01") or -1 and 1 ("pm1").
        signal: what arrives as the gradient of x: "derivative" of the loss, or for layers trained
            by psa "flip", what the loss loses when a unit is flipped, f(x) - f(flip_i x).
        one_flip_average: of the value, and so of the gradient of weight and bias.

    Returns:
        [B], in nats.

    Raises:
        ValueError: shapes or words that do not fit.
        TypeError: classes that are not int64.

    A second derivative is refused.

    Source: Shekhovtsov, Yanush, Flach, NeurIPS 2020, arXiv 2006.03143.

    Examples:
        >>> import torch, gradthru
        >>> x, a = torch.ones(1, 2), torch.zeros(1, 2)
        >>> gradthru.nn.head_loss(x, a, torch.ones(1, 2), torch.zeros(1), torch.zeros(1, 1),
        ...                       loss="squared")
        tensor([1.])
    """
    plus_minus_one = _plus_minus_one(coding)
    if signal not in ("derivative", "flip"):
        raise ValueError(f"head_loss: signal must be 'derivative' or 'flip', got {signal!r}")
    if weight.dim() != 2 or bias.shape != weight.shape[:1]:
        raise ValueError("head_loss: wanted a weight [C, n] and a bias [C], got "
                         f"{list(weight.shape)} and {list(bias.shape)}")
    if x.dim() != 2 or x.shape[1] != weight.shape[1] or preactivation.shape != x.shape:
        raise ValueError(f"head_loss: x and preactivation must be [B, {weight.shape[1]}], got "
                         f"{list(x.shape)} and {list(preactivation.shape)}")
    value: torch.Tensor = apply(_Head, x, weight, bias, preactivation.detach(), target, loss,
                                plus_minus_one, signal == "flip", one_flip_average)[0]
    return value
