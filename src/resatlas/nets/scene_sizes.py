"""What a data set with objects adds to the memory of a network."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SceneSizes:
    """The classes of a data set, the largest sides of a batch, and the most objects of an image.

    `classes` are those that `Detector` or `Segmenter` takes.
    """

    classes: int
    height: int
    width: int
    objects: int
