"""The sizes of images with objects that determine the memory of a training on them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from resatlas.data.boxes import AnnotatedImages, AnnotatedParts, DetectionData
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.recipes.detection import Classify, Detect, Resized, Segment, Task
from resatlas.recipes.images import ShorterSide
from resatlas.recipes.recipe import Recipe
from resatlas.studies.tasks import classes_of

if TYPE_CHECKING:  # describing a training needs no numpy
    import numpy as np
    from numpy.typing import NDArray

_CLASS = 8
"""Bytes of the class of a pixel."""

_FOUND = 150
"""Bytes of a box with its class and score in detections.json, about."""

NAME = 150
"""Bytes of the path of an image file in memory, about."""

_OBJECT = 500
"""Bytes of an object with its mask in memory, about."""


def scene_sizes(data: DetectionData, parts: AnnotatedParts, recipe: Recipe) -> SceneSizes:
    """The sizes of the images of all parts, as the recipe's task takes them.

    Raises: TypeError if the recipe learns labels.
    """
    import numpy as np

    task = recipe.task
    if not isinstance(task, Detect | Segment):
        raise TypeError(f"recipe {recipe.name} learns labels")
    sides = np.concatenate(list(_sides(parts, recipe)))
    height, width = sides.max(axis=0).tolist()
    alone = sides[sides.prod(axis=1).argmax()].tolist()
    objects = max(int(np.diff(part.objects.starts).max(initial=0)) for part in _parts(parts))
    masks = objects if isinstance(task, Detect) and task.masks else 0
    return SceneSizes(
        batch=(height, width),
        alone=(alone[0], alone[1]),
        classes=len(classes_of(task, data)),
        objects=objects,
        answer_bytes=_CLASS if isinstance(task, Segment) else masks,
    )


def found_bytes(parts: AnnotatedParts, task: Task) -> int:
    """Bytes of detections.json if as much is found in each test image as the task keeps."""
    boxes, outlines = _FOUND * len(parts.test), int(parts.test.sizes.sum())  # a mask grows with its outline
    match task:
        case Classify():
            return 0
        case Detect(masks=None):
            return task.detections.most * boxes
        case Detect():
            return task.detections.most * (boxes + outlines)
        case Segment():
            return len(parts.test.categories) * (boxes + outlines)


def annotated_bytes(data: DetectionData, parts: AnnotatedParts) -> int:
    """Bytes of the images in memory, or of the names of their files, and of their objects."""
    total = 0
    for part in _parts(parts):
        pixels = int(part.sizes.prod(axis=1).sum()) * data.channels
        total += (pixels if part.root is None else NAME * len(part)) + _OBJECT * len(part.objects.ids)
    return total


def _parts(parts: AnnotatedParts) -> Iterator[AnnotatedImages]:
    yield from (part for part in (parts.train, parts.validation, parts.test) if part is not None)


def _sides(parts: AnnotatedParts, recipe: Recipe) -> "Iterator[NDArray[np.int64]]":
    """Height and width of the images of each part, the largest where a step draws one of several."""
    for part in _parts(parts):
        sides = part.sizes
        if part is parts.train:  # steps are for training alone
            for step in recipe.steps:
                if isinstance(step, ShorterSide):
                    sides = _resized(sides, max(step.lengths), step.longest)
        if isinstance(recipe.task, Detect) and isinstance(recipe.task.sides, Resized):
            sides = _resized(sides, recipe.task.sides.shorter, recipe.task.sides.longest)
        yield sides


def _resized(sides: "NDArray[np.int64]", shorter: int, longest: int) -> "NDArray[np.int64]":
    """Sides with the shorter of this length and the longer at most `longest`."""
    import numpy as np

    factors = np.minimum(shorter / sides.min(axis=1), longest / sides.max(axis=1))
    return np.maximum(np.round(sides * factors[:, None]), 1).astype(np.int64)
