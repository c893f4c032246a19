"""Layers of logic gates whose functions are learnt."""

from __future__ import annotations

import torch
from torch import nn

from .._library import ops
from ..estimator import Estimator, EstimatorLike
from ..key import Key, signed
from ..sampling import sample
from ._shared import at_least_one, pathwise

FUNCTIONS = 16


class LogicGateLayer(nn.Module):
    """Gates that see two inputs each, fixed at random, and learn which Boolean function they are.

    Function k of the 16 has at (a, b) the value of bit 3 - 2a - b of k (1 is and, 6 xor, 7 or) and
    extends to numbers as c0 + c1 a + c2 b + c3 a b: the probability of a one for independent inputs
    with probabilities a and b. A forward pass draws a function for each gate, once for the whole
    batch, and the estimator carries the gradient to the logits. The layer is that of C++, draw by draw.

    Args:
        inputs: number of inputs, at least 2.
        gates: number of gates.
        estimator: an `Estimator` or a spec string, or None for the mixture of all functions by
            softmax(logits). May be set again later.
        seed: of the wiring, which depends on nothing else.
        device, dtype: of the logits; float64 or float32.

    Attributes:
        logits: parameter [gates, 16], from the standard normal law.
        left, right: buffers, int64 [gates]: a and b of each gate.

    Raises:
        ValueError: an argument out of its domain; an estimator without a gradient for samples.

    Shapes: [B, inputs] or [inputs] to [B, gates] or [gates].

    Source: Petersen et al., Deep Differentiable Logic Gate Networks, NeurIPS 2022.

    Examples:
        >>> import torch, gradthru
        >>> layer = gradthru.nn.LogicGateLayer(20, 50, "st", seed=1)
        >>> y = layer(torch.randint(2, (4, 20)).float(), key=gradthru.Key(7))
        >>> y.shape, y.unique().tolist()
        (torch.Size([4, 50]), [0.0, 1.0])
    """

    estimator: Estimator | None
    left: torch.Tensor
    right: torch.Tensor
    _functions: torch.Tensor

    def __init__(self, inputs: int, gates: int, estimator: EstimatorLike | None = "st", *,
                 seed: int = 0, device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        super().__init__()
        at_least_one("LogicGateLayer", inputs=inputs, gates=gates)
        if inputs < 2:
            raise ValueError(f"LogicGateLayer: inputs must be >= 2, got {inputs}")
        self.inputs = inputs
        self.estimator = None if estimator is None else pathwise(estimator)
        self.logits = nn.Parameter(torch.empty(gates, FUNCTIONS, device=device, dtype=dtype))
        left, right = ops.logic_wiring(inputs, gates, signed(seed))
        self.register_buffer("left", left.to(device))
        self.register_buffer("right", right.to(device))
        functions = ops.logic_functions().to(self.logits)
        self.register_buffer("_functions", functions, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the logits from the standard normal law, with Torch's default generator."""
        nn.init.normal_(self.logits)

    @property
    def offsets_used(self) -> int:
        """How far to move a key between two calls."""
        return 0 if self.estimator is None else self.estimator.offsets

    def gates(self) -> torch.Tensor:
        """The most probable function of each gate, int64 [gates]."""
        return self.logits.detach().argmax(-1)

    def forward(self, x: torch.Tensor, *, key: Key | None = None,
                generator: torch.Generator | None = None) -> torch.Tensor:
        """What the gates make of x; in `eval()` each takes its most probable function.

        Args:
            x: [B, inputs] or [inputs], in the dtype of the logits; bits, or numbers in [0, 1].
            key, generator: where the draws come from, Torch's default CPU generator if neither is
                given. Gate j draws in row ``key.row0 + j``. Under `torch.compile` a key is needed.

        Raises:
            ValueError: shapes that do not fit, a key and a generator, a schedule as estimator.
            TypeError: another dtype than that of the logits.
        """
        if x.dim() not in (1, 2) or x.shape[-1] != self.inputs:
            raise ValueError(f"LogicGateLayer: input must be [B, {self.inputs}], got "
                             f"{list(x.shape)}")
        if not self.training:
            mixture = nn.functional.one_hot(self.gates(), FUNCTIONS).to(self.logits.dtype)
        elif self.estimator is None:
            mixture = torch.softmax(self.logits, -1)
        else:
            mixture = sample(self.logits, self.estimator, key=key, generator=generator).onehot
        rows = x.unsqueeze(1) if x.dim() == 1 else x.t()
        out: torch.Tensor = ops.logic_gates(rows, self.left, self.right, mixture @ self._functions)
        return out.squeeze(1) if x.dim() == 1 else out.t()

    def extra_repr(self) -> str:
        spec = None if self.estimator is None else str(self.estimator)
        return f"{self.inputs}, {len(self.logits)}, {spec!r}"


def group_sum(x: torch.Tensor, groups: int, t: float = 1.0) -> torch.Tensor:
    """The sums of equal parts of the gates, one after the other, divided by t: scores of classes.

    Args:
        x: [B, n].
        groups: how many parts.
        t: what the sums are divided by.

    Returns:
        [B, groups].

    Raises:
        ValueError: groups that do not divide n.

    Examples:
        >>> import torch, gradthru
        >>> gradthru.nn.group_sum(torch.tensor([[1.0, 1.0, 0.0, 1.0]]), 2)
        tensor([[2., 1.]])
    """
    if x.dim() != 2 or groups < 1 or x.shape[1] % groups != 0:
        raise ValueError(f"group_sum: wants [B, n] with n a multiple of the groups {groups}, got "
                         f"{list(x.shape)}")
    return x.t().reshape(groups, -1, x.shape[0]).sum(1).t() / t
