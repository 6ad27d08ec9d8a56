"""The path of the images of one experiment to the network: steps, normalisation, view of the test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from resatlas.arch.ops import Shape
from resatlas.data.normalisation import Normaliser
from resatlas.recipes.images import PHOTOGRAPHIC, AreaCrop, Centre, Step, pixels

Policy = Literal["error", "skip"]
"""At an unreadable image: stop with an error, or substitute another of its class in training and omit it in tests."""


def ignore_note(note: str) -> None:
    """Ignore a note."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pipeline:
    """The steps of a training in order, its measured normalisation, and the view that is tested.

    An epoch shows an image `repeats` times, each time with its own random draws. `workers` is the number of processes
    that prepare photographs; it changes no pixel. `on_note` is called with a sentence if fewer can be started.
    """

    steps: tuple[Step, ...]
    normaliser: Normaliser
    view: Centre = Centre()  # noqa: RUF009 - a frozen value
    unreadable: Policy = "error"
    repeats: int = 1
    workers: int = 1
    on_note: Callable[[str], None] = ignore_note

    @property
    def one_by_one(self) -> bool:
        """Whether a step works on single photographs instead of batches."""
        return any(isinstance(step, PHOTOGRAPHIC) for step in self.steps)

    def trained(self, image: Shape) -> Shape:
        """The shape of the training images, where `image` is the shape for the network and the test."""
        for step in self.steps:
            if isinstance(step, AreaCrop):
                side = pixels(step.side, image.height)
                return Shape(image.channels, side, side)
        return image
