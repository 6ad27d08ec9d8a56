"""Runs of masks against COCO's own code, polygons included; damaged runs are refused."""

import numpy as np
import pytest

from resatlas.data.masks import Polygons, Rle, decompressed, encoded, of_polygons
from resatlas.errors import DataError
from tests.data.coco_masks import letters_to_pixels, pixels_to_letters, polygons_to_letters


@pytest.mark.parametrize("seed", range(4))
def test_polygons_are_drawn_as_cocos_code_draws_them(seed: int) -> None:
    """300 polygons, outside the image, with repeated corners and half pixels among them: pixel by pixel."""
    random = np.random.default_rng(seed)
    for k in range(300):
        height, width = (int(side) for side in random.integers(2, 60, 2))
        corners = np.round(random.uniform(-5, 65, (int(random.integers(3, 9)), 2)), int(random.integers(0, 3)))
        corners[1] = corners[0] if k % 5 == 0 else corners[1]
        theirs = letters_to_pixels(polygons_to_letters([corners], height, width), height, width)
        assert (of_polygons([corners], height, width).decoded() == theirs).all()


def test_several_polygons_are_united() -> None:
    """Where two overlap, the pixel counts once."""
    squares = [np.array([[1, 1], [6, 1], [6, 6], [1, 6]], float) + shift for shift in (0, 3)]
    assert of_polygons(squares, 12, 10).compressed() == polygons_to_letters(squares, 12, 10)


@pytest.mark.parametrize("seed", range(3))
def test_runs_are_those_of_cocos_code(seed: int) -> None:
    """Runs go down the columns; letters are the same, and read back to the same pixels; so are area and empty masks."""
    random = np.random.default_rng(seed)
    for density in (0, 0.01, 0.5, 1):
        mask = (random.uniform(size=(37, 53)) < density).astype(np.uint8)
        ours = encoded(mask)
        assert ours.compressed() == pixels_to_letters(mask)
        assert ours.area == mask.sum()
        assert (decompressed(ours.compressed(), 37, 53).decoded() == mask).all()
        assert (ours.decoded() == mask).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "runs of 12 in all; got 0"),
        ("<\x7f", "letters from 0 to o"),
        ("1P", "ends within a run"),
        ("ooooooooooooooo", "letters from 0 to o"),
        ("Oo", "ends within a run"),
        ("O", "outside 0 to 12"),
        ("PPPPPPPP1", "outside 0 to 12"),
    ],
)
def test_damaged_letters_are_refused(text: str, reason: str) -> None:
    """Too few pixels, other letters, an unfinished run, negative and endless ones."""
    with pytest.raises(DataError, match=reason):
        decompressed(text, 3, 4)


def test_runs_fill_their_image() -> None:
    """Runs that are negative, or of another image, are refused; so are corners far away."""
    with pytest.raises(DataError, match="got -1"):
        Rle(height=1, width=2, counts=np.array([3, -1]))
    with pytest.raises(DataError, match="12 in all; got 13"):
        Rle(height=3, width=4, counts=np.array([6, 7]))
    for far in (np.nan, np.inf, 1e18):
        with pytest.raises(DataError, match="near their image"):
            Polygons(height=4, width=4, corners=(np.array([[0, 0], [far, 0], [1, 1]]),))
