"""Pixels, boxes and masks move together: the box of a mask that was drawn and moved is the box that was moved."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from resatlas.data.box_arrays import box_of
from resatlas.data.box_steps import cropped, mirrored, scaled, shifted, stepped
from resatlas.data.boxes import Sample
from resatlas.errors import RecipeError
from resatlas.recipes.images import BoxStep, ColourJitter, Flip, HslJitter, Lighting, PadCrop, ShorterSide


def sample(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (40, 60), channels: int = 3) -> Sample:
    """Boxes as white rectangles on black, with their masks."""
    height, width = size
    image = torch.zeros(height, width, channels, dtype=torch.uint8)
    masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
    for k, (x0, y0, x1, y1) in enumerate(boxes):
        image[y0:y1, x0:x1] = 255
        masks[k, y0:y1, x0:x1] = 1
    target = {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.arange(1, len(boxes) + 1),
        "ignore": torch.zeros(len(boxes), dtype=torch.bool),
        "masks": masks,
    }
    return Sample(image, target)


def check(moved: Sample, *, tolerance: float = 0.0) -> None:
    """Each box is that of its mask, and the white pixels of the image are those of the masks."""
    boxes, masks = moved.target["boxes"].tolist(), moved.target["masks"].numpy()
    assert masks.shape[1:] == moved.image.shape[:2]
    assert len(boxes) == len(masks) == len(moved.target["labels"]) == len(moved.target["ignore"])
    for box, mask in zip(boxes, masks, strict=True):
        assert np.abs(np.array(box) - box_of(mask)).max() <= tolerance
    if tolerance == 0:
        white = moved.image[:, :, 0].numpy() > 127
        assert (white == (masks.max(axis=0, initial=0) == 1)).all()


TWO = ((3, 5, 20, 17), (40, 22, 60, 40))


def test_a_mirror_is_exact() -> None:
    """Twice mirrored is the sample itself; once, the first box is on the right."""
    moved = mirrored(sample(*TWO))
    check(moved)
    assert moved.target["boxes"].tolist()[0] == [40, 5, 57, 17]
    again = mirrored(moved)
    assert again.image.equal(sample(*TWO).image)
    assert again.target["boxes"].equal(sample(*TWO).target["boxes"])


def test_a_crop_cuts_boxes_and_leaves_out_what_is_outside() -> None:
    """Boxes at the edge are cut, and labels go with their boxes."""
    moved = cropped(sample(*TWO), 10, 10, 20, 40)
    check(moved)
    assert moved.image.shape == (20, 40, 3)
    assert moved.target["boxes"].tolist() == [[0, 0, 10, 7], [30, 12, 40, 20]]
    left = cropped(sample(*TWO), 0, 0, 10, 30)
    assert left.target["labels"].tolist() == [1]
    assert cropped(sample(*TWO), 0, 21, 10, 10).target["boxes"].shape == (0, 4)


@pytest.mark.parametrize("corner", [(0, 0), (-7, 4), (6, -9), (5, 11), (-3, -3)])
def test_a_shift_is_exact(corner: tuple[int, int]) -> None:
    """What leaves the image is cut, what comes in is black."""
    moved = shifted(sample(*TWO), *corner)
    check(moved)
    assert moved.image.shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("shorter", "longest", "sides"), [(80, 200, (80, 120)), (20, 200, (20, 30)), (80, 90, (60, 90))]
)
def test_a_scale_keeps_the_shape(shorter: int, longest: int, sides: tuple[int, int]) -> None:
    """The shorter side has its length, unless the longer one would be too long; boxes follow exactly."""
    moved = scaled(sample(*TWO), shorter, longest)
    assert moved.image.shape[:2] == sides
    check(moved, tolerance=1)
    assert moved.target["boxes"].tolist()[0] == [value * sides[0] / 40 for value in TWO[0]]


def test_a_scale_of_whole_pixels_is_exact() -> None:
    """Twice as large: boxes are those of the masks, and boxes of odd sides follow the pixels, not the wish."""
    check(scaled(sample(*TWO), 80, 500), tolerance=0)
    odd = scaled(sample((0, 0, 33, 17), size=(17, 33)), 10, 500)
    assert odd.image.shape[:2] == (10, 19)
    assert odd.target["boxes"].tolist() == [[0, 0, 19, 10]]


STEPS: tuple[BoxStep, ...] = (
    Flip(),
    ShorterSide(lengths=(40, 80, 120), longest=400),
    PadCrop(share=Fraction(1, 8)),
    PadCrop(share=Fraction(1, 8), fill="reflection"),
)


@pytest.mark.parametrize("seed", range(8))
def test_steps_after_another_keep_boxes_at_their_masks(seed: int) -> None:
    """Any order of draws: no box is more than a pixel from its mask, and the same seed gives the same."""
    made = [stepped(sample(*TWO), STEPS, torch.Generator().manual_seed(seed)) for _ in range(2)]
    check(made[0], tolerance=1.001)
    assert made[0].image.equal(made[1].image)
    assert made[0].target["boxes"].equal(made[1].target["boxes"])


def test_draws_differ() -> None:
    """Ten seeds give several scales and both sides."""
    made = [stepped(sample(*TWO), STEPS, torch.Generator().manual_seed(seed)) for seed in range(10)]
    assert {tuple(one.image.shape[:2]) for one in made} == {(40, 60), (80, 120), (120, 180)}
    flips = [stepped(sample(*TWO), (Flip(),), torch.Generator().manual_seed(seed)) for seed in range(10)]
    assert {one.target["boxes"][0, 0].item() for one in flips} == {3, 40}


def test_a_forbidden_mirror_is_left_out() -> None:
    """Digits are never mirrored, and the draws of later steps stay the same."""
    steps = (Flip(), PadCrop())
    for seed in range(6):
        allowed, forbidden = (
            stepped(sample((0, 0, 60, 40)), steps, torch.Generator().manual_seed(seed), mirror=mirror)
            for mirror in ("allowed", "forbidden")
        )
        assert forbidden.image.equal(allowed.image)
        one = stepped(sample(*TWO), (Flip(),), torch.Generator().manual_seed(seed), mirror="forbidden")
        assert one.image.equal(sample(*TWO).image)


@pytest.mark.parametrize(
    "step", [ColourJitter(), HslJitter(hue=30, saturation=30, lightness=30), Lighting(std=Fraction(9))]
)
def test_colours_move_nothing(step: BoxStep) -> None:
    """Other pixels, of the same type; boxes, labels and masks are untouched."""
    first = sample(*TWO)
    first = first._replace(
        image=torch.randint(256, first.image.shape, generator=torch.Generator().manual_seed(1)).byte()
    )
    moved = stepped(first, (step,), torch.Generator().manual_seed(0))
    assert (moved.image.dtype, moved.image.shape) == (torch.uint8, first.image.shape)
    assert not moved.image.equal(first.image)
    assert all(moved.target[name].equal(first.target[name]) for name in first.target)


def test_images_without_objects_or_masks_go_through() -> None:
    """An empty target stays one, and boxes alone need no masks."""
    empty = stepped(sample(channels=1), STEPS, torch.Generator().manual_seed(0))
    assert empty.target["boxes"].shape == (0, 4)
    assert empty.image.shape[2] == 1
    boxes = sample(*TWO)
    bare = boxes._replace(target={name: value for name, value in boxes.target.items() if name != "masks"})
    moved = stepped(bare, STEPS, torch.Generator().manual_seed(3))
    assert moved.target["boxes"].equal(stepped(boxes, STEPS, torch.Generator().manual_seed(3)).target["boxes"])


@pytest.mark.parametrize(("lengths", "longest"), [((), 100), ((0,), 100), ((200,), 100), ((10,), 9000)])
def test_lengths_have_bounds(lengths: tuple[int, ...], longest: int) -> None:
    """No length, none of zero, none beyond the longest."""
    with pytest.raises(RecipeError, match="one of several lengths"):
        ShorterSide(lengths=lengths, longest=longest)
