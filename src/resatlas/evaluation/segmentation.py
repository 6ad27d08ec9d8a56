"""Mean intersection over union of predicted classes of pixels, and the share of right pixels."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from resatlas.errors import DataError


def confusion(
    real: NDArray[np.integer], predicted: NDArray[np.integer], classes: int, *, unlabelled: int
) -> NDArray[np.int64]:
    """The pixels of each real class, by rows, that were given each class; unlabelled ones left out.

    Shape: (h, w), (h, w) -> (classes, classes).
    Raises: DataError if the shapes differ, or a class does not exist.
    """
    if real.shape != predicted.shape:
        raise DataError(f"classes of {real.shape} pixels cannot be compared with {predicted.shape}")
    counted = real != unlabelled
    pair = real[counted].astype(np.int64) * classes + predicted[counted].astype(np.int64)
    for array in (real[counted], predicted[counted]):
        least, most = int(array.min(initial=0)), int(array.max(initial=0))
        if least < 0 or most >= classes:
            raise DataError(f"pixels have classes from 0 to {classes - 1}; got {least} to {most}")
    return np.bincount(pair, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def segmentation(matrices: Iterable[NDArray[np.int64]], names: Sequence[str]) -> Iterator[tuple[str, float | None]]:
    """Mean IoU in percent, `error_percent` (100 - mean IoU), then pixel accuracy, images, and IoU of each class.

    Mean IoU stands first: where most pixels are ground, a network that says ground everywhere has a high accuracy and a
    mean IoU of little more than 1 over the number of classes. Pixels of all images are counted together. A class
    that is neither there nor predicted has no IoU and does not count in the mean.

    Raises: DataError if there is no image, or no pixel that counts.
    """
    total = np.zeros((len(names), len(names)), np.int64)
    images = 0
    for matrix in matrices:
        total += matrix
        images += 1
    if not total.any():
        raise DataError(f"{images} images have no pixel that counts")
    right = np.diag(total)
    union = total.sum(axis=0) + total.sum(axis=1) - right
    each = [100 * hit / area if area else None for hit, area in zip(right.tolist(), union.tolist(), strict=True)]
    mean = float(np.mean([value for value in each if value is not None]))
    yield "mean_iou", mean
    yield "error_percent", 100 - mean
    yield "pixel_accuracy", 100 * float(right.sum() / total.sum())
    yield "images", float(images)
    for name, value in zip(names, each, strict=True):
        yield f"iou: {name}", value
