"""Every parameter of a plan: its path, its shape, and where it starts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from resatlas.arch.blueprint import Initial
from resatlas.arch.ops import (
    AvgPool,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Relu,
    Scale,
    Sigmoid,
    Subsample,
    ZeroChannels,
)
from resatlas.arch.plan import Layer, Plan, layers


@dataclass(frozen=True, slots=True)
class Normal:
    """N(0, std²)."""

    std: float

    def __str__(self) -> str:
        return f"normal(0, {self.std:.6g})"


@dataclass(frozen=True, slots=True)
class Uniform:
    """U(low, high)."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"uniform({self.low:.6g}, {self.high:.6g})"


@dataclass(frozen=True, slots=True)
class Constant:
    """One value everywhere."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


Start = Normal | Uniform | Constant


@dataclass(frozen=True, slots=True)
class Parameter:
    """A trainable tensor."""

    path: str
    shape: tuple[int, ...]
    start: Start


def parameters(plan: Plan) -> Iterator[Parameter]:
    """Every parameter, in the order of the layers."""
    for path, layer in layers(plan):
        yield from _of_layer(path, layer, plan.initial)


def _of_layer(path: str, layer: Layer, initial: Initial) -> Iterator[Parameter]:
    given, out = layer.input.channels, layer.output.channels
    match layer.op:
        case Convolution(kernel=kernel, groups=groups, bias=bias):
            fan = kernel * kernel * (given // groups if initial.fan == "in" else out)
            shape = (out, given // groups, kernel, kernel)
            yield Parameter(f"{path}.weight", shape, Normal(math.sqrt(2 / fan)))
            if bias is not None:
                yield Parameter(f"{path}.bias", (out,), Constant(bias))
        case Norm():
            yield Parameter(f"{path}.weight", (out,), Uniform(0, 1) if initial.scale == "uniform" else Constant(1))
            yield Parameter(f"{path}.bias", (out,), Constant(0))
        case Linear():
            bound = 1 / math.sqrt(given)
            yield Parameter(f"{path}.weight", (out, given), Uniform(-bound, bound))
            yield Parameter(f"{path}.bias", (out,), Constant(0))
        case (
            Relu()
            | Sigmoid()
            | Scale()
            | Dropout()
            | MaxPool()
            | AvgPool()
            | Subsample()
            | ZeroChannels()
            | GlobalPool()
        ):
            pass
        case _:
            assert_never(layer.op)
