"""The class of every pixel of an image as a mask for each class, as detections.json holds it, and back."""

import numpy as np
from numpy.typing import NDArray

from resatlas.data.box_arrays import box_of
from resatlas.data.boxes import Id
from resatlas.data.masks import encoded
from resatlas.errors import DataError
from resatlas.evaluation.detections import ImageDetections


def masks_of(image: Id, classes: NDArray[np.integer]) -> ImageDetections:
    """A mask and its box for each class that occurs but 0, the ground; classes of pixels have no score: it is 1.

    Shape: classes (h, w).
    """
    labels = [label for label in np.unique(classes).tolist() if label]
    masks = [(classes == label).astype(np.uint8) for label in labels]
    corners = np.array([box_of(mask) for mask in masks], np.float64).reshape(-1, 4)
    return ImageDetections(
        image=image,
        boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
        labels=np.array(labels, np.int64),
        scores=np.ones(len(labels)),
        masks=tuple(map(encoded, masks)),
    )


def classes_of(found: ImageDetections, *, height: int, width: int) -> NDArray[np.int64]:
    """The class of each pixel that `masks_of` made masks of.

    Shape: (height, width).
    Raises: DataError if there are no masks, or masks of another size.
    """
    if len(found.masks) != len(found) or any((mask.height, mask.width) != (height, width) for mask in found.masks):
        raise DataError(f"classes of image {found.image!r} are masks of {width} x {height} pixels; got others")
    classes = np.zeros((height, width), np.int64)
    for label, mask in zip(found.labels.tolist(), found.masks, strict=True):
        classes[mask.decoded() == 1] = label
    return classes
