"""Four handwritten digits in one image: in which quadrant is the largest? Hard enough to tell designs apart."""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.digits import LEARN, TEST, VALIDATE, of_sheets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN_SCENES, VALIDATION_SCENES, TEST_SCENES = 4000, 1000, 5000

SMALLEST = 0.85
"""A digit is drawn at 0.85 to 1 of its size."""

JITTER = 0.7  # pixels that a digit is moved at most, along each axis
TURN = 0.15  # radians that a digit is turned at most, and the most of its shear
NOISE = 0.125  # of full ink, at most, on each pixel

QUADRANTS = ("upper left", "upper right", "lower left", "lower right")
DRAWN_FOR_EACH = 2
"""Scenes drawn for each one kept: 81 % have one largest digit, the others are left out."""


def largest() -> DataSet:
    """10,000 scenes of 16x16 pixels: a digit in each quadrant, moved, turned, sheared and with noise.

    The class is the quadrant of the digit with the largest value, which only one of the four has. 4,000 scenes to
    learn from are of the digits of sheets 0 to 7, 1,000 held back of sheets 8 and 9, 5,000 to test on of sheets 10
    to 13: see `data.digits`. Only sums, products and quotients of raw random words enter, so that every machine and
    every version of NumPy draws the same bytes.
    """
    return DataSet(
        name="largest",
        image=Shape(1, 16, 16),
        classes=QUADRANTS,
        mirror="forbidden",
        note="scenes made of scikit-learn's handwritten digits, the sheets of the test scenes apart from those of the "
        "training scenes: they rank designs, and say nothing about photographs",
        read=read_scenes,
    )


def read_scenes() -> Parts:
    """The three parts, the same at every call; ids number the scenes through."""
    return Parts(
        train=_part(LEARN, TRAIN_SCENES, stream=0, first=0),
        validation=_part(VALIDATE, VALIDATION_SCENES, stream=1, first=TRAIN_SCENES),
        test=_part(TEST, TEST_SCENES, stream=2, first=TRAIN_SCENES + VALIDATION_SCENES),
    )


def _part(sheets: range, count: int, *, stream: int, first: int) -> ImageSet:
    import numpy as np

    images, labels = scenes(of_sheets(sheets), count=count, stream=stream)
    return ImageSet(images=images, labels=labels, ids=first + np.arange(count))


def scenes(digits: ImageSet, *, count: int, stream: int) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
    """The first scenes of a stream of random words that have one largest digit, and the quadrant of that.

    Shape: (count, 1, 16, 16), (count,).
    """
    import numpy as np

    words = np.random.Philox(key=stream)
    wide = DRAWN_FOR_EACH * count
    chosen = (uniform(words, wide, 4) * len(digits)).astype(np.int64)
    values = digits.labels[chosen]
    single = np.flatnonzero((values == values.max(axis=1, keepdims=True)).sum(axis=1) == 1)[:count]
    scale = SMALLEST + (1 - SMALLEST) * uniform(words, wide, 4)
    poses = Poses(scale, *(2 * uniform(words, wide, 4) - 1 for _ in range(4)))
    noise = NOISE * (2 * uniform(words, count, 16, 16) - 1)
    ink = drawn(digits.images[chosen[single], 0] / 255.0, Poses(*(values[single] for values in poses)))
    halves = ink.reshape(count, 2, 2, 8, 8).transpose(0, 1, 3, 2, 4).reshape(count, 16, 16)
    images = np.floor(255 * np.clip(halves + noise, 0, 1) + 0.5).astype(np.uint8)
    return images[:, None], values[single].argmax(axis=1)


class Poses(NamedTuple):
    """How digits lie: their size, and shares of the most that they are moved down and right, turned and sheared."""

    scale: "NDArray[np.float64]"
    down: "NDArray[np.float64]"
    right: "NDArray[np.float64]"
    turn: "NDArray[np.float64]"
    shear: "NDArray[np.float64]"


def drawn(glyphs: "NDArray[np.float64]", poses: Poses) -> "NDArray[np.float64]":
    """Each glyph in its pose, bilinear between pixel centres, without ink outside.

    A turn has the sine 2t/(1 + t²) and the cosine (1 - t²)/(1 + t²) of its half tangent t: no machine rounds them
    otherwise than another.

    Shape: (n, 4, 8, 8) -> (n, 4, 8, 8).
    """
    import numpy as np

    scale, down, right, turn, shear = (values[..., None, None] for values in poses)
    side = np.arange(8) - 3.5
    y, x = side[:, None] - JITTER * down, side[None, :] - JITTER * right
    half = TURN / 2 * turn
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    across, along = (cosine * x + sine * y) / scale, (cosine * y - sine * x) / scale
    return sampled(glyphs, along + 3.5, across - TURN * shear * along + 3.5)


def sampled(glyphs: "NDArray[np.float64]", y: "NDArray[np.float64]", x: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """The ink at places between the pixel centres of each glyph.

    Shape: (n, 4, 8, 8) and places (n, 4, 8, 8) -> (n, 4, 8, 8).
    """
    import numpy as np

    bordered = np.pad(glyphs, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y, x = np.clip(y + 1, 0, 9), np.clip(x + 1, 0, 9)
    top, left = np.minimum(y.astype(np.int64), 8), np.minimum(x.astype(np.int64), 8)
    n, quadrant = np.ogrid[: len(glyphs), :4]
    at = partial(_at, bordered, n[..., None, None], quadrant[..., None, None])
    upper = at(top, left) * (left + 1 - x) + at(top, left + 1) * (x - left)
    lower = at(top + 1, left) * (left + 1 - x) + at(top + 1, left + 1) * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def _at(
    glyphs: "NDArray[np.float64]",
    n: "NDArray[np.int64]",
    quadrant: "NDArray[np.int64]",
    y: "NDArray[np.int64]",
    x: "NDArray[np.int64]",
) -> "NDArray[np.float64]":
    return glyphs[n, quadrant, y, x]


def uniform(words: "np.random.Philox", *shape: int) -> "NDArray[np.float64]":
    """The next numbers in [0, 1), by the upper 53 bits of raw words: NumPy's distributions may change."""
    import math

    import numpy as np

    raw: NDArray[np.uint64] = np.asarray(words.random_raw(math.prod(shape)))
    return (raw >> np.uint64(11)).astype(np.float64).reshape(shape) * 2.0**-53
