"""The parameters of a plan: path, shape and initial values."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from resatlas.arch.blueprint import Initial
from resatlas.arch.ops import ChannelConvolution, Convolution, Linear, Norm, Op, weights
from resatlas.arch.plan import Plan, layers


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
    """All parameters, in the order of the layers."""
    for path, layer in layers(plan):
        for name, shape in weights(layer.op, layer.input.channels, layer.output.channels).items():
            yield Parameter(f"{path}.{name}", shape, _start(layer.op, name, shape, plan.initial))


def _start(op: Op, name: str, shape: tuple[int, ...], initial: Initial) -> Start:
    match op, name:
        case Convolution(kernel=kernel), "weight":
            outputs, inputs, *_ = shape
            return Normal(math.sqrt(2 / (kernel * kernel * (inputs if initial.fan == "in" else outputs))))
        case ChannelConvolution(kernel=kernel), "weight":
            return Normal(math.sqrt(2 / kernel))
        case Convolution(bias=float(bias)), "bias":
            return Constant(bias)
        case Norm(), "weight":
            return Uniform(0, 1) if initial.scale == "uniform" else Constant(1)
        case Linear(), "weight":
            bound = 1 / math.sqrt(shape[1])
            return Uniform(-bound, bound)
        case _:  # the shift of a norm, the bias of the classifier
            return Constant(0)
