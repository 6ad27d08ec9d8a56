"""One module for each operation of a plan, and chains of them."""

from collections import OrderedDict
from typing import assert_never

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.arch import plan
from resatlas.arch.ops import (
    AvgPool,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Relu,
    Subsample,
    ZeroChannels,
)


def chain(layers: plan.Chain) -> nn.Sequential:
    """The operations one after another, each under its role; an empty chain is the identity."""
    return nn.Sequential(OrderedDict((layer.role, module(layer)) for layer in layers))


def module(layer: plan.Layer) -> nn.Module:
    """The module of one layer; none of them changes its input in place."""
    given, out = layer.input.channels, layer.output.channels
    match layer.op:
        case Convolution(kernel=kernel, stride=stride, groups=groups):
            return nn.Conv2d(given, out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
        case Norm(eps=eps):
            return nn.BatchNorm2d(out, eps=eps)
        case Relu():
            return nn.ReLU()
        case Dropout(rate=rate):
            return nn.Dropout(rate)
        case MaxPool(kernel=kernel, stride=stride):
            return nn.MaxPool2d(kernel, stride=stride, padding=kernel // 2)
        case AvgPool(stride=stride):
            return nn.AvgPool2d(stride, stride=stride, ceil_mode=True)
        case Subsample(stride=stride):
            return SubsampleModule(stride)
        case ZeroChannels():
            return ZeroChannelsModule(out - given)
        case GlobalPool():
            return GlobalPoolModule()
        case Linear():
            return nn.Linear(given, out)
        case _:
            assert_never(layer.op)


class SubsampleModule(nn.Module):
    """x -> x[:, :, ::stride, ::stride].

    Shape: (n, c, h, w) -> (n, c, ceil(h/stride), ceil(w/stride)).
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        """The pixels at multiples of the stride."""
        return x[:, :, :: self.stride, :: self.stride]


class ZeroChannelsModule(nn.Module):
    """x -> [x, 0].

    Shape: (n, c, h, w) -> (n, c + extra, h, w).
    """

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """The channels of x, then channels of zeros."""
        return F.pad(x, (0, 0, 0, 0, 0, self.extra))


class GlobalPoolModule(nn.Module):
    """x -> mean of x over height and width.

    Shape: (n, c, h, w) -> (n, c).
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
        """One mean a channel."""
        return x.mean(dim=(2, 3))
