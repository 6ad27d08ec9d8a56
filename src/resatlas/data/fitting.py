"""The steps of a recipe that the images of a data set can take."""

from collections.abc import Iterator

from resatlas.data.dataset import DataSet
from resatlas.recipes.images import ColourJitter, Flip, HslJitter, Lighting, RandAugment, Step, TrivialAugment


def fitted(steps: tuple[Step, ...], data: DataSet) -> tuple[Step, ...]:
    """The steps that leave the images of a data set what they are."""
    lost = dict(_lost(steps, data))
    return tuple(step for step in steps if step not in lost)


def left_out(steps: tuple[Step, ...], data: DataSet) -> Iterator[str]:
    """A sentence for every step that `fitted` leaves out."""
    for step, reason in _lost(steps, data):
        yield f"{type(step).__name__} is left out: {reason}"


def _lost(steps: tuple[Step, ...], data: DataSet) -> Iterator[tuple[Step, str]]:
    for step in steps:
        if isinstance(step, Flip) and data.mirror == "forbidden":
            yield step, f"mirrored images of {data.name} lose their class"
        if isinstance(step, ColourJitter | HslJitter | Lighting) and data.image.channels != 3:
            yield step, f"images of {data.name} have {data.image.channels} channels, not red, green and blue"
        if isinstance(step, TrivialAugment | RandAugment) and data.image.channels not in (1, 3):
            yield step, f"images of {data.name} have {data.image.channels} channels, and are neither grey nor RGB"
