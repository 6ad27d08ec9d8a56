"""Whole-batch augmentation does to each image what a slow loop over single pixels does."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.augment import Crops, Draws, Mirrors, allowed, augment, draws
from resatlas.recipes.recipe import Augmentation, Flip, PadCrop

BOTH = (PadCrop(), Flip())
IMAGE = Shape(2, 8, 6)


def slow(image: Tensor, index: int, drawn: Draws) -> Tensor:
    """One image after every step, pixel by pixel."""
    for step in drawn:
        before, image = image, torch.zeros_like(image)
        _, height, width = image.shape
        for y in range(height):
            for x in range(width):
                if isinstance(step, Crops):
                    top, left = step.corners[index].tolist()
                    source = (y + top - step.padding, x + left - step.padding)
                else:
                    source = (y, width - 1 - x if step.mirrored[index] else x)
                if 0 <= source[0] < height and 0 <= source[1] < width:
                    image[:, y, x] = before[:, source[0], source[1]]
    return image


@pytest.mark.parametrize("augmentation", [(), BOTH, (Flip(), PadCrop()), (PadCrop(share=Fraction(1, 2)),)])
def test_a_batch_is_its_images_one_by_one(augmentation: tuple[Augmentation, ...]) -> None:
    """Every pixel is that of the slow loop, for indices in any order and more than once."""
    drawn = draws(3, 1, 40, augmentation, IMAGE)
    indices = torch.randint(40, (25,), generator=torch.Generator().manual_seed(0))
    images = torch.randn(25, *IMAGE, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([slow(image, int(index), drawn) for image, index in zip(images, indices, strict=True)])
    assert augment(images, indices, drawn).equal(expected)


def test_the_images_given_stay_as_they_are() -> None:
    """Augmenting writes into no image of the resident part."""
    images = torch.randn(10, *IMAGE)
    copy = images.clone()
    augment(images, torch.arange(10), draws(0, 0, 10, BOTH, IMAGE))
    assert images.equal(copy)


@pytest.mark.parametrize(
    ("share", "image", "padding"),
    [
        (Fraction(1, 8), Shape(1, 32, 32), 4),
        (Fraction(1, 8), Shape(1, 8, 20), 3),
        (Fraction(1, 8), Shape(1, 4, 4), 1),
        (Fraction(1, 8), Shape(1, 3, 3), 0),
        (Fraction(0), IMAGE, 0),
    ],
)
def test_the_padding_is_the_share_of_the_larger_side(share: Fraction, image: Shape, padding: int) -> None:
    """Padding is floor(share·side + 1/2), and a crop begins anywhere in 0…2·padding."""
    (crops,) = draws(0, 0, 2000, (PadCrop(share=share),), image)
    assert isinstance(crops, Crops)
    assert crops.padding == padding
    assert [sorted(set(axis.tolist())) for axis in crops.corners.T] == [list(range(2 * padding + 1))] * 2


def test_half_of_the_images_are_mirrored() -> None:
    """Mirrors fall as a fair coin does."""
    (mirrors,) = draws(0, 0, 10_000, (Flip(),), IMAGE)
    assert isinstance(mirrors, Mirrors)
    assert 0.48 < mirrors.mirrored.double().mean() < 0.52


def corners(drawn: Draws) -> list[list[int]]:
    """Where the crops of the draws begin."""
    return next(step.corners.tolist() for step in drawn if isinstance(step, Crops))


@given(n=st.integers(1, 50), more=st.integers(0, 50))
def test_a_draw_depends_on_its_own_index_only(n: int, more: int) -> None:
    """More images, or another step beside it, leave the draws of an image as they are."""
    assert corners(draws(5, 2, n + more, BOTH, IMAGE))[:n] == corners(draws(5, 2, n, (PadCrop(),), IMAGE))


def test_draws_differ_by_epoch_and_seed() -> None:
    """Another epoch or another seed draws anew."""
    drawn = {str(corners(draws(seed, epoch, 20, BOTH, IMAGE))) for seed in range(3) for epoch in range(3)}
    assert len(drawn) == 9


def test_flips_need_the_data_set_s_leave() -> None:
    """Where mirrors are forbidden the flips are left out, and nothing else is."""
    assert allowed(BOTH, "allowed") == BOTH
    assert allowed(BOTH, "forbidden") == (PadCrop(),)
