"""The digits are scikit-learn's, split and resized as promised."""

from difflib import SequenceMatcher
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_digits

from resatlas.arch.ops import Shape
from resatlas.data.digits import SHEETS, digits, resized
from resatlas.errors import UsageError
from tests.data.memory import in_memory

PIXELS, LABELS = (np.asarray(array, np.int64) for array in load_digits(return_X_y=True))


def test_the_digits_are_1437_and_360() -> None:
    """Every one of the 1,797 digits is in exactly one part, and each class has its share of the test part."""
    parts = digits().read()
    assert (len(parts.train), len(parts.test)) == (1437, 360)
    assert sorted([*parts.train.ids, *parts.test.ids]) == list(range(1797))
    whole, test = np.bincount(LABELS), np.bincount(parts.test.labels)
    assert np.abs(test - whole * 360 / 1797).max() <= 1


def test_the_split_never_changes() -> None:
    """The ids of the test images are those that every earlier run was tested on."""
    ids = digits().read().test.ids
    assert ids[:6].tolist() == [21, 24, 28, 34, 35, 37]
    assert sha256(ids.astype("<i8").tobytes()).hexdigest().startswith("2fbaae31b8c6aad1")


def test_the_pixels_are_the_source_scaled_to_bytes() -> None:
    """Grey level v of 16 becomes floor(255·v/16 + 1/2), for the image that the id names."""
    test = in_memory(digits().read().test)
    assert test.images.reshape(360, 64).tolist() == ((PIXELS[test.ids] * 255 + 8) // 16).tolist()
    assert test.labels.tolist() == LABELS[test.ids].tolist()


@pytest.mark.parametrize("size", [8, 9, 16, 32])
def test_every_size_has_the_same_split(size: int) -> None:
    """A size changes the pixels and nothing else."""
    resolved = digits(size)
    parts = resolved.read()
    assert resolved.image == parts.train.shape == parts.test.shape == Shape(1, size, size)
    assert parts.test.ids.tolist() == digits().read().test.ids.tolist()


def test_resizing_is_bilinear_between_pixel_centres() -> None:
    """Doubling a row of two pixels puts the new ones at -1/4, 1/4, 3/4 and 5/4, cut off at the ends."""
    row = np.array([[0.0, 100.0], [0.0, 100.0]])[None, None]
    assert resized(row, 4)[0, 0].tolist() == [[0, 25, 75, 100]] * 4


@pytest.mark.parametrize("size", [7, 257, -1])
def test_a_size_out_of_bounds_is_refused_in_words(size: int) -> None:
    """The error names the bounds and the size."""
    with pytest.raises(UsageError, match=f"8 to 256 pixels per side; got {size}"):
        digits(size)


def test_digits_forbid_mirrors_and_name_their_writers() -> None:
    """A mirrored digit is not a digit, and the note says that writers are in both parts."""
    assert digits().mirror == "forbidden"
    assert "same writers (UCI counts 13" in digits().note
    assert "sheets of the test part are not in the training part" in digits(split="sheets").note


def test_sheets_are_in_one_part_only() -> None:
    """The order of the labels repeats on every sheet, but for digits that are missing; no sheet is in two parts."""
    parts = digits(split="sheets").read()
    assert parts.validation is not None
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1029, 258, 510)
    assert [*parts.train.ids, *parts.validation.ids, *parts.test.ids] == list(range(1797))
    sheets = [LABELS[first:end].tolist() for first, end in pairwise(SHEETS)]
    for sheet in sheets:
        assert SequenceMatcher(None, sheets[0], sheet, autojunk=False).ratio() > 0.95
