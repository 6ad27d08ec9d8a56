"""The levels of a plan: the maps after each stage, for heads that need more than one label per image."""

from dataclasses import dataclass
from math import prod

from resatlas.arch.ops import stride_of
from resatlas.arch.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The maps after a stage: their channels, of all streams side by side, and their stride in pixels of the image."""

    stage: int
    channels: int
    stride: int


def plan_levels(plan: Plan) -> tuple[Level, ...]:
    """The level after each stage, from the finest to the coarsest.

    channels = channels of a stream · streams; stride = the product of the strides of the stem and of all units so far.
    A map has ceil(side / stride) pixels along each side of the image.
    """
    stride = prod(stride_of(layer.op) for layer in plan.stem)
    found: list[Level] = []
    for stage, units in enumerate(plan.stages):
        stride *= prod(unit.stride for unit in units)
        last = units[-1]
        found.append(Level(stage=stage, channels=last.output.channels * last.outcomes, stride=stride))
    return tuple(found)
