"""The levels of a design: channels, strides and receptive fields of the maps after each stage."""

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.levels import Level, plan_levels
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import plan
from resatlas.designs.tasks import Design


def levels(design: str | Design | Blueprint | Plan, *, image: Shape | None = None) -> tuple[Level, ...]:
    """The level after each stage of a DESIGN text, a design, a blueprint or a plan, from the finest to the coarsest.

    A level has its stage, its channels (of all streams side by side), its stride and its receptive field in pixels of
    the image, as in (Level(stage=0, channels=256, stride=4, receptive_field=35), …) of ResNet-50. Its maps are
    `network.features(images)["stages.0"]`, and so on.
    Raises: as `plan`.
    """
    return plan_levels(plan(design, image=image))
