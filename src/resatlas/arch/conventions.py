"""The results of common counters of operations, computed from the plan."""

from collections.abc import Callable
from dataclasses import dataclass

from resatlas.arch.cost import cost
from resatlas.arch.ops import AvgPool, Convolution, GlobalPool, Linear, MaxPool, Norm, Relu, Shape, SlidingMean
from resatlas.arch.plan import Layer, Plan, layers


@dataclass(frozen=True, kw_only=True)
class Convention:
    """A counter, its rule in words, and its count for one image."""

    name: str
    rule: str
    count: Callable[[Plan], int]


def multiply_adds(plan: Plan) -> int:
    """1 for each multiply-add of a convolution or the classifier."""
    return cost(plan).multiply_adds


def operations(plan: Plan) -> int:
    """2 for each multiply-add: a product and a sum."""
    return 2 * multiply_adds(plan)


def profiled(plan: Plan) -> int:
    """Multiply-adds and biases, 2 per normalised value, 1 per output value of a relu and per input value of a pool."""
    return multiply_adds(plan) + sum(_beside(layer) for _, layer in layers(plan))


def _beside(layer: Layer) -> int:
    """The count of a profiler for a layer in addition to its multiply-adds."""
    match layer.op:
        case Convolution(bias=bias):
            return 0 if bias is None else _values(layer.output)
        case Linear() | Relu():
            return _values(layer.output)
        case Norm():
            return 2 * _values(layer.input)
        case MaxPool() | AvgPool() | SlidingMean() | GlobalPool():
            return _values(layer.input)
        case _:  # the profiler has no rule for other modules
            return 0


def _values(shape: Shape) -> int:
    return shape.channels * shape.height * shape.width


CONVENTIONS = (
    Convention(
        name="papers", rule="1 a multiply-add of convolutions and classifier; called FLOPs", count=multiply_adds
    ),
    Convention(name="torchvision", rule="the same, published as GFLOPS of its weights", count=multiply_adds),
    Convention(name="FlopCounterMode", rule="2 a multiply-add: PyTorch's own counter", count=operations),
    Convention(
        name="ptflops",
        rule="multiply-adds and biases, 2 a normalised value, 1 a value that a relu gives or a pool reads",
        count=profiled,
    ),
)
"""Sources: ResNet paper, section 3.3; torchvision.models, meta["_ops"] of the weights; torch.utils.flop_counter;
ptflops 0.7.5, its module hooks. Differs: by default ptflops counts relu and pool twice, as module and as function."""
