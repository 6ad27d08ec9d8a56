"""One module for each operation of a plan, and chains of them."""

from collections import OrderedDict
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.arch import plan
from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Relu,
    Scale,
    Sigmoid,
    SlidingMean,
    Subsample,
    ZeroChannels,
)
from resatlas.nets.streams import added

_NARROW = 8
"""Strided 1x1 convolutions of torch are safe on every processor from this number of input channels on."""


def chain(layers: plan.Chain) -> nn.Sequential:
    """The operations one after another, each under its role; an empty chain is the identity."""
    return nn.Sequential(OrderedDict((layer.role, module(layer)) for layer in layers))


def module(layer: plan.Layer) -> nn.Module:
    """The module of one layer. No module changes its input in place."""
    inputs, outputs = layer.input.channels, layer.output.channels
    match layer.op:
        case Convolution():
            return _convolution(layer.op, inputs, outputs)
        case ChannelConvolution(kernel=kernel):
            return ChannelConvolution1d(1, 1, kernel, padding=kernel // 2, bias=False)
        case Norm(eps=eps):
            return nn.BatchNorm2d(outputs, eps=eps)
        case Relu() | Sigmoid():
            return nn.ReLU() if layer.op == Relu() else nn.Sigmoid()
        case Scale(factor=factor):
            return ScaleModule(float(factor))
        case Dropout(rate=rate):
            return nn.Dropout(rate)
        case MaxPool(kernel=kernel, stride=stride):
            return nn.MaxPool2d(kernel, stride=stride, padding=kernel // 2)
        case AvgPool(stride=stride, kernel=kernel):
            size, zeros = kernel or stride, kernel // 2 if kernel else 0
            return nn.AvgPool2d(size, stride=stride, padding=zeros, ceil_mode=kernel is None)
        case SlidingMean(size=size, dilation=dilation):
            return SlidingMeanModule(size, dilation)
        case Subsample(stride=stride, shift=shift):
            return SubsampleModule(stride) if shift is None else ShiftedModule(stride, shift)
        case ZeroChannels(place=place):
            before = (outputs - inputs) // 2 if place == "sides" else 0
            return ZeroChannelsModule(before, outputs - inputs - before)
        case GlobalPool():
            return GlobalPool2d()
        case Linear():
            return nn.Linear(inputs, outputs)
        case _:
            assert_never(layer.op)


def _convolution(op: Convolution, inputs: int, outputs: int) -> nn.Conv2d:
    kind = NarrowPointwise2d if op.kernel == 1 and op.stride > 1 and inputs < _NARROW else nn.Conv2d
    return kind(
        inputs,
        outputs,
        op.kernel,
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
        bias=op.bias is not None,
    )


class NarrowPointwise2d(nn.Conv2d):
    """x -> weight · x[:, :, ::stride, ::stride] + bias: a strided 1x1 convolution of fewer than `_NARROW` channels.

    Shape: (n, c, h, w) -> (n, d, ceil(h/stride), ceil(w/stride)).
    Differs: on processors with AVX2 but not AVX-512, the backward pass of torch 2.14 for such a convolution writes out
        of bounds (channels last). A subsampling and a convolution without stride have the same products and sums.
    """

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:  # noqa: A002 - torch's name
        """The convolution of the pixels at multiples of the stride."""
        at_multiples = F.avg_pool2d(input, 1, stride=self.stride)  # unlike a slice, it keeps the memory layout
        return F.conv2d(at_multiples, self.weight, self.bias, groups=self.groups)


class ChannelConvolution1d(nn.Conv1d):
    """x -> weight * x along the channels of one pixel.

    Shape: (n, c, 1, 1) -> (n, c, 1, 1).
    """

    def forward(self, input: Float[Tensor, "n c 1 1"]) -> Float[Tensor, "n c 1 1"]:  # noqa: A002 - torch's name
        """The convolution of the channels, which are the positions of one channel."""
        return super().forward(input.flatten(1)[:, None]).mT[..., None]


class SubsampleModule(nn.Module):
    """x -> x[:, :, ::stride, ::stride].

    Shape: (n, c, h, w) -> (n, c, ceil(h/stride), ceil(w/stride)).
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        """The pixels at multiples of the stride."""
        return F.avg_pool2d(x, 1, stride=self.stride)  # unlike a slice, its gradient keeps the memory layout of x


class ShiftedModule(nn.Module):
    """x -> [x[:, :, ::stride, ::stride], x'[:, :, ::stride, ::stride]], x'[i, j] = x[i - shift, j - shift] or 0.

    Shape: (n, c, h, w) -> (n, 2·c, ceil(h/stride), ceil(w/stride)).
    """

    def __init__(self, stride: int, shift: int) -> None:
        super().__init__()
        self.stride = stride
        self.shift = shift

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """The pixels at multiples of the stride, of x and of x moved."""
        moved = F.pad(x, (self.shift, -self.shift) * 2)
        return torch.cat([F.avg_pool2d(maps, 1, stride=self.stride) for maps in (x, moved)], dim=1)


class SlidingMeanModule(nn.Module):
    """x -> the mean of x[i + a·dilation, j + b·dilation] for 0 ≤ a, b < size, of those inside the map.

    Shape: (n, c, h, w) -> (n, c, h, w).
    """

    def __init__(self, size: int, dilation: int) -> None:
        super().__init__()
        self.size = size
        self.dilation = dilation

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The means at every pixel."""
        return self._sums(x) / self._sums(torch.ones_like(x[:1, :1]))

    def _sums(self, x: Tensor) -> Tensor:
        """The sums over the window of each pixel; pixels beyond the edge are zeros."""
        zeros, offsets = (self.size - 1) * self.dilation, range(0, self.size * self.dilation, self.dilation)
        padded = F.pad(x, (0, zeros, 0, zeros))
        rows = added([padded.narrow(2, offset, x.shape[2]) for offset in offsets])
        return added([rows.narrow(3, offset, x.shape[3]) for offset in offsets])


class ZeroChannelsModule(nn.Module):
    """x -> [0, x, 0].

    Shape: (n, c, h, w) -> (n, before + c + after, h, w).
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before = before
        self.after = after

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """The channels of x between channels of zeros."""
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class ScaleModule(nn.Module):
    """x -> factor · x.

    Shape: (n, c, h, w) -> (n, c, h, w).
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The scaled maps."""
        return x * self.factor


class GlobalPool2d(nn.Module):
    """x -> mean of x over height and width. Tools that remove a head, such as fastai's, look for "Pool" in the name.

    Shape: (n, c, h, w) -> (n, c).
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
        """One mean per channel."""
        return x.mean(dim=(2, 3))
