"""The scenes of `largest` are the same everywhere, their labels are right, and no sheet is in two parts."""

from hashlib import sha256

import numpy as np
import pytest

from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet, Parts
from resatlas.data.digits import LEARN, SHEETS, TEST, VALIDATE, of_sheets
from resatlas.data.largest import Poses, drawn, sampled, scenes, uniform
from tests.data.memory import in_memory

SHA256 = ["3dacab12c0017bad", "55024d5e7f94df1b", "c3bf40c038949074"]
"""Of each part, its first 16 digits."""


@pytest.fixture(scope="module")
def parts() -> Parts:
    """All scenes, drawn once."""
    return resolve("largest").read()


def content(part: ImageSet) -> str:
    """The sha256 of pixels and labels."""
    return sha256(part.images.tobytes() + part.labels.astype("<i8").tobytes()).hexdigest()


def test_the_scenes_never_change(parts: Parts) -> None:
    """Every machine and version of NumPy draws these bytes."""
    assert parts.validation is not None
    drawn_parts = [in_memory(part) for part in (parts.train, parts.validation, parts.test)]
    assert [content(part)[:16] for part in drawn_parts] == SHA256


def test_parts_have_their_sizes_and_ids(parts: Parts) -> None:
    """4,000, 1,000 and 5,000 scenes, numbered through; every quadrant holds about a quarter of the largest digits."""
    assert parts.validation is not None
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [4000, 1000, 5000]
    assert [*parts.train.ids, *parts.validation.ids, *parts.test.ids] == list(range(10_000))
    for part in (parts.train, parts.validation, parts.test):
        assert np.abs(np.bincount(part.labels) / len(part) - 0.25).max() < 4 * (0.25 * 0.75 / len(part)) ** 0.5


def test_sheets_are_apart() -> None:
    """The sheets of the three parts are disjoint and cover all digits."""
    assert sorted([*LEARN, *VALIDATE, *TEST]) == list(range(len(SHEETS) - 1))
    ids = [set(of_sheets(sheets).ids.tolist()) for sheets in (LEARN, VALIDATE, TEST)]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 1797


def test_the_label_is_the_quadrant_of_the_largest_digit() -> None:
    """Digits whose ink is their value: the quadrant with the most ink is the label, and no other has as much."""
    values = np.arange(10)
    glyphs = np.zeros((10, 1, 8, 8), np.uint8)
    glyphs[:, :, 2:6, 2:6] = (25 * values)[:, None, None, None]
    images, labels = scenes(ImageSet(images=glyphs, labels=values, ids=values), count=200, stream=5)
    core = images[:, 0].reshape(200, 2, 8, 2, 8)[:, :, 3:5, :, 3:5].astype(float).mean(axis=(2, 4)).reshape(200, 4)
    far = np.sort(core)[:, -1] - np.sort(core)[:, -2] > 40  # noise of four pixels is up to 32 grey levels
    assert far.sum() > 50
    assert (core.argmax(axis=1) == labels)[far].all()


def pose(**values: float) -> Poses:
    """Four glyphs of one scene in the same pose; as they are, where nothing is said."""
    usual = {"scale": 1.0, "down": 0.0, "right": 0.0, "turn": 0.0, "shear": 0.0}
    return Poses(**{name: np.full((1, 4), values.get(name, value)) for name, value in usual.items()})


def test_a_pose_is_an_affine_map() -> None:
    """As it is, a glyph is itself; moved by 0.7 pixels, each pixel is a mean of two; a smaller one has less ink."""
    glyphs = np.random.default_rng(0).uniform(size=(1, 4, 8, 8))
    assert drawn(glyphs, pose()) == pytest.approx(glyphs)
    right = drawn(glyphs, pose(right=1.0))
    assert right[..., 1:] == pytest.approx(0.3 * glyphs[..., 1:] + 0.7 * glyphs[..., :-1])
    down = drawn(glyphs, pose(down=1.0))
    assert down[..., 1:, :] == pytest.approx(0.3 * glyphs[..., 1:, :] + 0.7 * glyphs[..., :-1, :])
    whole = np.ones((1, 4, 8, 8))
    assert drawn(whole, pose(scale=0.85)).sum() == pytest.approx(0.85**2 * whole.sum(), rel=0.05)


def test_a_turn_has_the_sine_of_its_half_tangent() -> None:
    """A bar turned by the most follows the line y = x·tan(0.15), to a hundredth of a pixel."""
    glyphs = np.zeros((1, 4, 8, 8))
    glyphs[..., 3:5, :] = 1
    bar = drawn(glyphs, pose(turn=1.0))[0, 0, :, 1:7]
    centres = (bar * np.arange(8)[:, None]).sum(axis=0) / bar.sum(axis=0) - 3.5
    slope = np.polyfit(np.arange(1, 7) - 3.5, centres, 1)[0]
    assert slope == pytest.approx(np.tan(0.15), abs=0.01)


def test_places_between_pixels_are_weighted() -> None:
    """A quarter of the way between two pixels counts three quarters of the nearer; outside there is no ink."""
    glyphs = np.zeros((1, 4, 8, 8))
    glyphs[..., 2, 3] = 1
    places = np.full((1, 4, 8, 8), 2.25), np.full((1, 4, 8, 8), 3.0)
    assert sampled(glyphs, *places) == pytest.approx(np.full((1, 4, 8, 8), 0.75))
    outside = np.full((1, 4, 8, 8), -30.0)
    assert not sampled(np.ones((1, 4, 8, 8)), outside, outside).any()


def test_numbers_are_the_upper_bits_of_raw_words() -> None:
    """The first words of Philox with key 0, by its published algorithm in whole numbers."""
    first = uniform(np.random.Philox(key=0), 2)
    words = np.random.Philox(key=0).random_raw(2)
    assert first.tolist() == [int(word >> 11) / 2**53 for word in words]
    assert 0 <= first.min() < first.max() < 1
