"""Layers of stochastic binary units."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ..sampling import Coding
from ._shared import at_least_one
from .binary_layer import StochasticBinaryLayer


class StochasticBinaryLinear(StochasticBinaryLayer):
    """A fully connected layer of stochastic binary units.

    Args:
        in_features, out_features: numbers of inputs and units.
        coding: values of the units: -1 and 1 ("pm1") or 0 and 1 ("01").
        device, dtype: of weight [out, in] and bias [out]; float32 or float64.

    Raises:
        ValueError: sizes below 1, an unknown coding.

    Shapes: [.., in] to units [.., out].

    Source: Shekhovtsov, Yanush, Flach, NeurIPS 2020, arXiv 2006.03143.

    Examples:
        >>> import torch, gradthru
        >>> hidden = gradthru.nn.StochasticBinaryLinear(784, 200)
        >>> hidden(torch.rand(5, 784), "psa", input="real").shape
        torch.Size([5, 200])
    """

    def __init__(self, in_features: int, out_features: int, coding: Coding = "pm1", *,
                 device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        at_least_one("StochasticBinaryLinear", in_features=in_features, out_features=out_features)
        super().__init__([out_features, in_features], coding, device, dtype)

    def preactivation(self, x: torch.Tensor) -> torch.Tensor:
        """a = W x + b, in nats: the logits of the units.

        Args:
            x: [.., in].

        Returns:
            [.., out].

        Raises:
            ValueError: another number of inputs.
        """
        if x.shape[-1:] != self.weight.shape[1:]:
            raise ValueError(f"StochasticBinaryLinear: input must be [.., {self.weight.shape[1]}], "
                             f"got {list(x.shape)}")
        return F.linear(x, self.weight, self.bias)

    def spread(self, variance: torch.Tensor) -> torch.Tensor:
        """The variance of the preactivation of independent inputs.

        Args:
            variance: of the inputs, [.., in].

        Returns:
            [.., out].
        """
        return F.linear(variance, self.weight.square())

    def extra_repr(self) -> str:
        out_features, in_features = self.weight.shape
        return f"{in_features}, {out_features}, {self.coding!r}"


Pair = int | tuple[int, int]


def _pair(value: Pair) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


class StochasticBinaryConv2d(StochasticBinaryLayer):
    """A convolutional layer of stochastic binary units with zero padding.

    A padded 0 is the state "off" in {0,1} and no state in +-1.

    Args:
        in_channels, out_channels: channels of the input and of the units.
        kernel_size, stride, padding, dilation, groups: as in `torch.nn.Conv2d`.
        coding: values of the units: -1 and 1 ("pm1") or 0 and 1 ("01").
        device, dtype: of weight [out, in / groups, rows, columns] and bias [out]; float32 or
            float64.

    Raises:
        ValueError: sizes below 1, groups that do not divide the channels, an unknown coding.

    Shapes: [B, in, rows, columns] to units [B, out, rows', columns'].

    Source: Shekhovtsov, Yanush, Flach, NeurIPS 2020, arXiv 2006.03143.

    Examples:
        >>> import torch, gradthru
        >>> conv = gradthru.nn.StochasticBinaryConv2d(3, 8, 3, stride=2)
        >>> conv(torch.rand(5, 3, 32, 32), "psa", input="real").shape
        torch.Size([5, 8, 15, 15])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Pair, stride: Pair = 1,
                 padding: Pair = 0, dilation: Pair = 1, groups: int = 1, coding: Coding = "pm1", *,
                 device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        name = "StochasticBinaryConv2d"
        at_least_one(name, in_channels=in_channels, out_channels=out_channels, groups=groups,
                     kernel_size=min(_pair(kernel_size)), stride=min(_pair(stride)),
                     dilation=min(_pair(dilation)))
        if min(_pair(padding)) < 0:
            raise ValueError(f"{name}: padding must be >= 0, got {padding}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"{name}: groups must divide the {in_channels} input and "
                             f"{out_channels} output channels, got {groups}")
        super().__init__([out_channels, in_channels // groups, *_pair(kernel_size)], coding, device,
                         dtype)
        self.convolution = (_pair(stride), _pair(padding), _pair(dilation), groups)

    def _check(self, x: torch.Tensor) -> None:
        assert self.convolution is not None
        _, padding, dilation, groups = self.convolution
        kernel, channels = self.weight.shape[2:], self.weight.shape[1] * groups
        fits = x.dim() == 4 and x.shape[1] == channels and all(
            x.shape[2 + i] + 2 * padding[i] >= dilation[i] * (kernel[i] - 1) + 1 for i in (0, 1))
        if not fits:
            raise ValueError(f"StochasticBinaryConv2d: input must be [B, {channels}, rows, "
                             "columns] and hold the kernel of the weight "
                             f"{list(self.weight.shape)}, got {list(x.shape)}")

    def preactivation(self, x: torch.Tensor) -> torch.Tensor:
        """a = W * x + b, in nats: the logits of the units.

        Args:
            x: [B, in, rows, columns].

        Returns:
            [B, out, rows', columns'].

        Raises:
            ValueError: another number of channels, an image smaller than the kernel.
        """
        assert self.convolution is not None
        self._check(x)
        return F.conv2d(x, self.weight, self.bias, *self.convolution)

    def spread(self, variance: torch.Tensor) -> torch.Tensor:
        """The variance of the preactivation of independent inputs.

        Args:
            variance: of the inputs, [B, in, rows, columns].

        Returns:
            [B, out, rows', columns'].
        """
        assert self.convolution is not None
        return F.conv2d(variance, self.weight.square(), None, *self.convolution)

    def extra_repr(self) -> str:
        assert self.convolution is not None
        out, per_group, *kernel = self.weight.shape
        stride, padding, dilation, groups = self.convolution
        return (f"{per_group * groups}, {out}, {tuple(kernel)}, stride={tuple(stride)}, "
                f"padding={tuple(padding)}, dilation={tuple(dilation)}, groups={groups}, "
                f"coding={self.coding!r}")
