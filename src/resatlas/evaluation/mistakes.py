"""The mistakes of detectors and segmenters image by image: missed objects, false boxes, confused classes."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resatlas.data.boxes import AnnotatedImages, Id
from resatlas.evaluation.detection import OVERLAP, check_same_images, overlap
from resatlas.evaluation.detections import Detections, ImageDetections

SURE = 0.5
"""The score from which a box counts here; AP counts boxes of every score."""


class Pair(NamedTuple):
    """A box and the object it stands for: places in the image's detections and in its objects.

    An object without a box is missed, a box without an object is false.
    """

    found: int | None
    real: int | None


def pairs(truth: AnnotatedImages, k: int, found: ImageDetections, *, sure: float = SURE) -> tuple[Pair, ...]:
    """The objects of image k and the boxes with a score from `sure` on, paired at an IoU of 0.5 or more.

    First boxes take objects of their own class, then the rest those of any class; the highest score chooses first, and
    takes the object it overlaps most. Objects that do not count, such as crowds, are left out, and so are boxes that
    lie at least half in one of their class.

    Source: the first step is that of COCO's cocoeval.py.
    """
    place, objects = truth.objects.of(k), truth.objects
    boxes, labels, ignored = objects.boxes[place], objects.labels[place], objects.ignore[place]
    counted = np.flatnonzero(~ignored).tolist()
    order = [j for j in np.argsort(-found.scores, kind="stable").tolist() if found.scores[j] >= sure]
    overlaps = overlap(found.corners, boxes)
    same = found.labels[:, None] == labels[None, :]
    taken: dict[int, int] = {}
    for allowed in (same, np.ones_like(same)):
        for j in order:
            free = [i for i in counted if i not in taken.values() and allowed[j, i] and overlaps[j, i] >= OVERLAP]
            if free and j not in taken:
                taken[j] = max(free, key=lambda i: float(overlaps[j, i]))
    excused = (same & ignored[None, :] & (_inside(found.corners, boxes) >= OVERLAP)).any(axis=1)
    return (
        *(Pair(j, taken.get(j)) for j in order if j in taken or not excused[j]),
        *(Pair(None, i) for i in counted if i not in taken.values()),
    )


def _inside(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of each box that lies in each of the others.

    Shape: (n, 4), (m, 4) -> (n, m).
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = np.broadcast_to((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None], shared.shape)
    return np.divide(shared, areas, out=np.zeros_like(shared), where=areas > 0)


class Mistakes(NamedTuple):
    """The mistakes in an image: objects that are missed, false boxes, and boxes of another class than their object."""

    missed: int
    false: int
    confused: int

    @property
    def total(self) -> int:
        """Their number."""
        return sum(self)


class Judged(NamedTuple):
    """The mistakes in each image, by its id, and the numbers of pairs (true class, predicted class).

    Class 0 means: no object, or no box.
    """

    mistakes: dict[Id, Mistakes]
    counts: Counter[tuple[int, int]]


def judged(truth: AnnotatedImages, found: Detections) -> Judged:
    """The mistakes of a detector.

    Raises: DataError if the detections are those of other images or categories.
    """
    check_same_images(truth, found)
    by_image = {image.image: image for image in found.images}
    mistakes: dict[Id, Mistakes] = {}
    counts: Counter[tuple[int, int]] = Counter()
    for k, own in enumerate(truth.ids):
        image = by_image[own]
        labels = truth.objects.labels[truth.objects.of(k)]
        classes = [_classes(pair, image, labels) for pair in pairs(truth, k, image)]
        counts.update(classes)
        mistakes[own] = Mistakes(
            missed=sum(not predicted for _, predicted in classes),
            false=sum(not real for real, _ in classes),
            confused=sum(0 < real != predicted > 0 for real, predicted in classes),
        )
    return Judged(mistakes, counts)


def _classes(pair: Pair, found: ImageDetections, labels: NDArray[np.int64]) -> tuple[int, int]:
    """(true class, predicted class) of a pair; 0 without an object, or without a box."""
    return (
        0 if pair.real is None else int(labels[pair.real]),
        0 if pair.found is None else int(found.labels[pair.found]),
    )


def worst(totals: Mapping[Id, int] | Mapping[Id, float], *, most: int) -> list[Id]:
    """The images with the largest totals, the largest first, of equal ones in order; none with 0."""
    return [image for image in sorted(totals, key=lambda image: -totals[image])[:most] if totals[image] > 0]
