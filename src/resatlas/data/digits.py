"""scikit-learn's handwritten digits: small enough to be installed with a package."""

from functools import partial
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts, split
from resatlas.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TEST_IMAGES = 360  # a fifth of the 1,797


def digits(size: int = 8) -> DataSet:
    """1,437 + 360 handwritten digits of 8x8 pixels and 17 grey levels, resized bilinearly.

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
        note="the 13 writers of the test images also wrote training images (scikit-learn keeps no writer ids), "
        "so errors are optimistic",
        read=partial(read, size),
    )


def read(size: int) -> Parts:
    """The digits at this size; the split is the same at every size."""
    import numpy as np
    from sklearn.datasets import load_digits

    bundled = load_digits(return_X_y=True)
    pixels, labels = np.asarray(bundled[0], np.float64), np.asarray(bundled[1], np.int64)
    everything = ImageSet(
        images=resized(pixels.reshape(-1, 1, 8, 8) * (255 / 16), size),
        labels=labels,
        ids=np.arange(len(labels)),
    )
    train, test = split(everything.labels, _TEST_IMAGES)
    return Parts(train=everything.take(train), test=everything.take(test))


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
