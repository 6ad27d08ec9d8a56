"""The steps of a recipe that suit the images of a data set."""

from collections.abc import Iterator

from resatlas.data.boxes import DetectionData
from resatlas.data.dataset import DataSet
from resatlas.recipes.images import ColourJitter, Flip, HslJitter, Lighting, RandAugment, Step, TrivialAugment


def fitted(steps: tuple[Step, ...], data: DataSet | DetectionData) -> tuple[Step, ...]:
    """The steps of the recipe without those that do not suit the images."""
    unfit = dict(_unfit(steps, data))
    return tuple(step for step in steps if step not in unfit)


def left_out(steps: tuple[Step, ...], data: DataSet | DetectionData) -> Iterator[str]:
    """A sentence for every step that `fitted` removes."""
    for step, reason in _unfit(steps, data):
        yield f"{type(step).__name__} off: {reason}"


def _unfit(steps: tuple[Step, ...], data: DataSet | DetectionData) -> Iterator[tuple[Step, str]]:
    for step in steps:
        if isinstance(step, Flip) and data.mirror == "forbidden":
            yield step, f"mirroring changes the class of images of {data.name}"
        if isinstance(step, ColourJitter | HslJitter | Lighting) and data.channels != 3:
            yield step, f"images of {data.name} have {data.channels} channels, not red, green and blue"
        if isinstance(step, TrivialAugment | RandAugment) and data.channels not in (1, 3):
            yield step, f"images of {data.name} have {data.channels} channels, neither grey nor RGB"
