"""What a data set with objects adds to the memory of a network."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SceneSizes:
    """The sides of images as a network takes them, and how much is to be found in them.

    `batch` are the largest height and the largest width, to which all images of a batch are padded; `alone` are those
    of the largest image. `classes` are those that `Detector` or `Segmenter` takes, `objects` the most of an image.
    `answer_bytes` are those of a pixel's answers in a batch: a mask of each object, or its class.
    """

    batch: tuple[int, int]
    alone: tuple[int, int]
    classes: int
    objects: int
    answer_bytes: int = 0

    def sides(self, images: int, *, tested: bool = False) -> tuple[int, int]:
        """Height and width of so many images together; those of a pass of a test have one size."""
        return self.alone if images == 1 or tested else self.batch
