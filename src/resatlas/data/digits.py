"""scikit-learn's handwritten digits: small enough to be installed with a package."""

from functools import partial
from typing import TYPE_CHECKING, Literal

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.dataset import split as stratified
from resatlas.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TEST_IMAGES = 360  # a fifth of the 1,797

SHEETS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667, 1797)
"""Where each of 14 sheets begins, and the last ends: the order of the labels repeats on every sheet.

54 % of nearest neighbours lie on one sheet, 7 % by chance: a sheet is of one hand, and a writer may have two.
"""

LEARN, VALIDATE, TEST = range(8), range(8, 10), range(10, 14)
"""The sheets to learn from, those held back and those to test on, where sheets are kept apart."""

Split = Literal["images", "sheets"]
"""What is in one part only: each image, or each sheet with its writer's hand."""


def digits(size: int = 8, split: Split = "images") -> DataSet:
    """1,797 handwritten digits of 8x8 pixels and 17 grey levels, resized bilinearly.

    Split by images, 1,437 + 360 with the same share of each class; by sheets, 1,029 to learn from, 258 held back and
    510 to test on, of other sheets.

    Raises: UsageError if the size is outside 8…256.
    Source: the test part of UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998), which
        scikit-learn bundles as `load_digits`.
    Differs: UCI tests on all 1,797 images and trains on 3,823 of other writers; we split the 1,797, since no other
        images are bundled.
    """
    if not 8 <= size <= 256:
        raise UsageError(f"digits have 8 to 256 pixels per side; got {size}")
    return DataSet(
        name="digits",
        image=Shape(1, size, size),
        classes=tuple("0123456789"),
        mirror="forbidden",
        note=_NOTES[split],
        read=partial(read, size, split),
    )


_NOTES = {
    "images": "the test and the training part have digits of the same writers (UCI counts 13, scikit-learn keeps no "
    "writer ids), so errors are optimistic; digits:split=sheets keeps the 14 sheets apart",
    "sheets": "the sheets of the test part are not in the training part; a writer may have written two sheets",
}


def read(size: int, split: Split) -> Parts:
    """The digits at this size; the split is the same at every size."""
    everything = bundled(size)
    if split == "sheets":
        return Parts(
            train=_sheets(everything, LEARN), validation=_sheets(everything, VALIDATE), test=_sheets(everything, TEST)
        )
    train, test = stratified(everything.labels, _TEST_IMAGES)
    return Parts(train=everything.take(train), test=everything.take(test))


def of_sheets(sheets: range) -> ImageSet:
    """The digits of these sheets, 8x8."""
    return _sheets(bundled(8), sheets)


def _sheets(everything: ImageSet, sheets: range) -> ImageSet:
    return everything.take(slice(SHEETS[sheets.start], SHEETS[sheets.stop]))


def bundled(size: int) -> ImageSet:
    """All digits in the order of the source, at this size."""
    import numpy as np
    from sklearn.datasets import load_digits

    source = load_digits(return_X_y=True)
    pixels, labels = np.asarray(source[0], np.float64), np.asarray(source[1], np.int64)
    return ImageSet(
        images=resized(pixels.reshape(-1, 1, 8, 8) * (255 / 16), size),
        labels=labels,
        ids=np.arange(len(labels)),
    )


def resized(images: "NDArray[np.float64]", size: int) -> "NDArray[np.uint8]":
    """Bilinear interpolation between pixel centres, then one rounding to whole grey levels.

    Shape: (n, c, h, w) -> (n, c, size, size).
    """
    import numpy as np

    h, w = images.shape[2:]
    between = _blending(h, size) @ images @ _blending(w, size).T
    return np.floor(between + 0.5).astype(np.uint8)


def _blending(length: int, size: int) -> "NDArray[np.float64]":
    """The weights of `length` pixels along a line in each of `size` interpolated ones; edges repeat.

    Shape: (size, length).
    """
    import numpy as np

    centres = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    return np.maximum(1 - np.abs(centres[:, None] - np.arange(length)), 0)
