"""Each estimator as a careful user writes it in eager PyTorch, from its formula.

Where there are several natural ways (how to draw the index, whether to write the backward by hand)
all are here, and the fastest one at the shape in question is the baseline.
"""

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F


def by_multinomial(logits: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return torch.multinomial(p, 1)


def by_gumbel_argmax(logits: torch.Tensor, p: torch.Tensor | None) -> torch.Tensor:
    return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1, keepdim=True)


def one_hot(index: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like).scatter_(-1, index, 1.0)


def straight_through(value: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    return value - soft.detach() + soft


def at_temperature(logits: torch.Tensor, tau: float) -> torch.Tensor:
    return logits if tau == 1 else logits / tau


def st(logits, p, index, spec):
    soft = p if spec.tau == 1 and p is not None else at_temperature(logits, spec.tau).softmax(-1)
    return straight_through(one_hot(index, soft), soft)


def reinmax(logits, p, index, spec):
    onehot = one_hot(index, p)
    middle = (onehot + at_temperature(logits.detach(), spec.tau).softmax(-1)) / 2
    middle = ((middle.log() - logits).detach() + logits).softmax(-1)
    return straight_through(onehot, 2 * middle - 0.5 * p)


class ReinMaxByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, p, index, tau):
        onehot = one_hot(index, logits)
        ctx.save_for_backward(logits, p, onehot)
        ctx.tau = tau
        return onehot

    @staticmethod
    def backward(ctx, g):
        logits, p, onehot = ctx.saved_tensors
        middle = (at_temperature(logits, ctx.tau).softmax(-1) + onehot) / 2
        first = middle * (g - (middle * g).sum(-1, keepdim=True))
        second = p * (g - (p * g).sum(-1, keepdim=True))
        return 2 * first - 0.5 * second, None, None, None


def reinmax_by_hand(logits, p, index, spec):
    return ReinMaxByHand.apply(logits, p.detach(), index, spec.tau)


def gst(logits, p, index, spec):
    with torch.no_grad():
        onehot = one_hot(index, logits)
        top = logits.amax(-1, keepdim=True)
        target = torch.where(onehot.bool(), top, torch.minimum(logits, top - spec.gap))
        shift = target - logits
    soft = at_temperature(logits + shift, spec.tau).softmax(-1)
    return straight_through(onehot, soft)


def gumbel_rao_given(logits, index, exponentials, tau):
    """The conditional Gumbels materialised: [M, rows, K]."""
    onehot = one_hot(index, logits)
    with torch.no_grad():
        total = logits.logsumexp(-1, keepdim=True)
        winner = exponentials.gather(-1, index.expand(*exponentials.shape[:-1], 1))
        others = -(exponentials / logits.exp() + winner / total.exp()).log()
        perturbed = torch.where(onehot.bool(), total - winner.log(), others)
        shift = perturbed - logits
    soft = at_temperature(logits + shift, tau).softmax(-1).mean(0)
    return straight_through(onehot, soft)


def gumbel_rao(logits, p, index, spec):
    noise = logits.new_empty(spec.samples, *logits.shape).exponential_()
    return gumbel_rao_given(logits, index, noise, spec.tau)


@dataclasses.dataclass
class Variant:
    """`draw(logits, p)` gives the index, `given(logits, p, index, spec)` the value with its graph."""

    name: str
    draw: Callable
    given: Callable
    spec: object
    graph_through_p: bool = False

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        p = None
        if self.graph_through_p:
            p = logits.softmax(-1)
        elif self.draw is by_multinomial or self.given is reinmax_by_hand:
            p = logits.detach().softmax(-1)
        with torch.no_grad():
            index = self.draw(logits.detach(), None if p is None else p.detach())
        return self.given(logits, p, index, self.spec)


@dataclasses.dataclass
class WholeCall:
    """PyTorch's own function, which draws for itself."""

    name: str
    spec: object

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        return F.gumbel_softmax(logits, tau=self.spec.tau, hard=True)


def variants(spec) -> list:
    if spec.method == "gumbel_softmax":
        return [WholeCall("F.gumbel_softmax(hard=True)", spec)]
    rules = {"st": [("", st, spec.tau == 1)],
             "reinmax": [("surrogate, ", reinmax, True), ("by hand, ", reinmax_by_hand, False)],
             "gst": [("", gst, False)],
             "gumbel_rao": [("", gumbel_rao, False)]}[spec.method]
    draws = {"multinomial": by_multinomial, "Gumbel argmax": by_gumbel_argmax}
    return [Variant(prefix + name, draw, rule, spec, through_p)
            for prefix, rule, through_p in rules for name, draw in draws.items()]


def bytes_needed(spec, rows: int, categories: int) -> int:
    """An estimate of the peak: about a dozen tensors of the largest kind."""
    draws = spec.samples if spec.method == "gumbel_rao" else 1
    return 12 * 4 * draws * rows * categories
