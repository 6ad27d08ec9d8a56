"""The levels of a plan: the maps after each stage, for heads that need more than one label per image."""

from dataclasses import dataclass

from resatlas.arch.plan import Plan
from resatlas.arch.receptive import fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The maps after a stage: their channels, of all streams side by side, and their stride in pixels of the image.

    A position inside depends on `receptive_field` · `receptive_field` pixels, by convolutions and pools: `fields` of
    `resatlas.arch.receptive` says how they are counted.
    """

    stage: int
    channels: int
    stride: int
    receptive_field: int


def plan_levels(plan: Plan) -> tuple[Level, ...]:
    """The level after each stage, from the finest to the coarsest.

    channels = channels of a stream · streams; stride = the product of the strides of the stem and of all units so far.
    A map has ceil(side / stride) pixels along each side of the image.
    """
    lasts = [units[-1] for units in plan.stages]
    return tuple(
        Level(
            stage=stage,
            channels=last.output.channels * last.outcomes,
            stride=field.stride,
            receptive_field=field.side,
        )
        for stage, (last, field) in enumerate(zip(lasts, fields(plan), strict=True))
    )
