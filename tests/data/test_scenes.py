"""Scenes are the same everywhere, their boxes and masks are exact, and no sheet is in two parts."""

from hashlib import sha256

import numpy as np
import pytest
import torch

from resatlas.data.box_arrays import box_of
from resatlas.data.boxes import AnnotatedImages, AnnotatedParts
from resatlas.data.digits import LEARN, TEST, VALIDATE, of_sheets
from resatlas.data.identity import digest_of_masks, digest_of_objects
from resatlas.data.scenes import (
    CONTRAST,
    GRAIN,
    GROUND,
    MOST_DIGITS,
    corner,
    enlarged,
    glyph_of,
    read_scenes,
    scene,
    scene_part,
    scenes,
)
from resatlas.errors import UsageError

SHA256 = {"train": "69289a682c2af5a2", "validation": "e2f15a234facb6bc", "test": "14c8a4379323591c"}
"""Of each part, the first 16 digits: all pixels, then the digests of objects and masks."""


@pytest.fixture(scope="module")
def parts() -> AnnotatedParts:
    """All scenes, drawn once."""
    return scenes().read()


def by_name(parts: AnnotatedParts) -> dict[str, AnnotatedImages]:
    """The three parts."""
    assert parts.validation is not None
    return {"train": parts.train, "validation": parts.validation, "test": parts.test}


def content(part: AnnotatedImages) -> str:
    """The sha256 of all pixels and annotations."""
    pixels = b"".join(part.read(k).tobytes() for k in range(len(part)))
    return sha256(pixels + (digest_of_objects(part) + digest_of_masks(part)).encode()).hexdigest()


def test_the_scenes_never_change(parts: AnnotatedParts) -> None:
    """Every machine and version of NumPy draws these bytes."""
    assert {name: content(part)[:16] for name, part in by_name(parts).items()} == SHA256


def test_numbers_of_scenes_and_objects(parts: AnnotatedParts) -> None:
    """800, 200 and 400 scenes of 0 to 6 digits, with digits of every class; categories have ids from 0."""
    assert {name: len(part) for name, part in by_name(parts).items()} == {"train": 800, "validation": 200, "test": 400}
    for part in by_name(parts).values():
        assert set(np.diff(part.objects.starts).tolist()) == set(range(MOST_DIGITS + 1))
        assert set(part.objects.labels.tolist()) == set(range(1, 11))
        assert [category.id for category in part.categories] == list(range(10))


def test_more_scenes_leave_the_first_as_they_are() -> None:
    """A scene depends on part, size and its index alone; each of these gives another one."""
    few, more = (scene_part(0, LEARN, count, 64) for count in (3, 5))
    assert all((few.read(k) == more.read(k)).all() for k in range(3))
    digits = of_sheets(LEARN)
    images = [scene(digits, *key).image.tobytes() for key in ((0, 64, 0), (1, 64, 0), (0, 64, 1), (0, 65, 0))]
    assert len(set(images)) == 4


def test_boxes_are_those_of_the_masks_which_are_disjoint(parts: AnnotatedParts) -> None:
    """A box is the smallest around its mask, no pixel belongs to two digits, and each digit is mostly visible."""
    for k in range(0, 400, 7):
        target = parts.test.target(k)
        masks = target["masks"].numpy()
        assert masks.sum(axis=0).max(initial=0) <= 1
        assert [box_of(mask) for mask in masks] == [tuple(box) for box in target["boxes"].tolist()]
        assert all(mask.any() for mask in masks)


def test_an_object_is_as_far_from_the_ground_as_its_contrast(parts: AnnotatedParts) -> None:
    """Outside of masks and corners lies the ground with its grain; a digit's darkest or lightest pixels are ink."""
    polarities = set()
    for k in range(60):
        sample = parts.train.sample(k)
        image = sample.image[:, :, 0].numpy().astype(int)
        ground = np.median(image)
        assert GROUND[0] - 2 <= ground <= GROUND[1] + 2
        for mask in sample.target["masks"].numpy() == 1:
            far = image[mask] - ground
            strongest = far[np.abs(far).argmax()]
            polarities.add(strongest > 0)
            assert CONTRAST[0] / 2 - GRAIN - 2 <= abs(strongest) <= CONTRAST[1] + GRAIN + 2
        covered = (sample.target["masks"].sum(dim=0) > 0).numpy()
        assert (np.abs(image - ground)[~covered] > GRAIN + 2).mean() < 0.1  # of corners
    assert polarities == {True, False}


def test_sides_are_an_eighth_to_three_eighths() -> None:
    """No digit is larger than 36 of 96 pixels, and small and large ones occur."""
    boxes = scene_part(0, LEARN, 100, 96).objects.boxes
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert sides.max() <= 36
    assert sides.min() < 14
    assert sides.max() > 30


def test_glyphs_are_enlarged_between_pixel_centres() -> None:
    """Full ink stays full, a quarter of ink vanishes, and 8 pixels are the glyph itself, sharpened."""
    for side in (8, 12, 31):
        ink, full = enlarged(np.full((8, 8), 16), side)
        assert ink.shape == (side, side)
        assert (ink == full).all()
        assert not enlarged(np.full((8, 8), 4), side)[0].any()
    glyph = np.random.default_rng(0).integers(0, 17, (8, 8))
    ink, full = enlarged(glyph, 8)
    assert ink / full == pytest.approx(np.clip(2 * glyph / 16 - 0.5, 0, 1))


def test_a_corner_is_a_quarter() -> None:
    """The four corners of a glyph are the glyph."""
    glyph = glyph_of(of_sheets(TEST), 0)
    assert 0 <= glyph.min() < glyph.max() == 16
    assert (np.sum([corner(glyph, k) for k in range(4)], axis=0) == glyph).all()
    assert not corner(glyph, 0)[4:].any()


def test_sheets_are_apart() -> None:
    """The scenes of the three parts are made of digits of disjoint sheets."""
    parts = by_name(read_scenes(48, 1))
    for (name, sheets), part in zip(
        (("train", LEARN), ("validation", VALIDATE), ("test", TEST)), range(3), strict=True
    ):
        assert (parts[name].read(0) == scene(of_sheets(sheets), part, 48, 0).image).all()


def test_samples_are_in_torchvisions_terms(parts: AnnotatedParts) -> None:
    """Types and shapes of image and target."""
    image, target = parts.train.sample(3)
    n = len(target["labels"])
    assert (image.dtype, image.shape) == (torch.uint8, (96, 96, 1))
    assert {name: (value.dtype, tuple(value.shape)) for name, value in target.items()} == {
        "boxes": (torch.float32, (n, 4)),
        "labels": (torch.int64, (n,)),
        "ignore": (torch.bool, (n,)),
        "masks": (torch.uint8, (n, 96, 96)),
    }


@pytest.mark.parametrize("knobs", [{"size": 31}, {"size": 513}, {"train": 0}, {"train": 20_001}])
def test_knobs_have_bounds(knobs: dict[str, int]) -> None:
    """Sizes and numbers outside are refused with what is allowed."""
    with pytest.raises(UsageError, match=r"32 to 512|1 to 20,000"):
        scenes(**knobs)
