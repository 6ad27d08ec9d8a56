"""Whole-batch augmentation does to each image what a slow loop over single pixels does."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.augment import Crops, Mirrors, augment, draw
from resatlas.recipes.images import Flip, PadCrop

IMAGE = Shape(2, 8, 6)

REFLECTING = PadCrop(fill="reflection")


def reflected(place: int, length: int) -> int:
    """A place outside a line of pixels, mirrored at the pixel of its end."""
    return -place if place < 0 else 2 * (length - 1) - place if place >= length else place


def slow(image: Tensor, index: int, drawn: Crops | Mirrors) -> Tensor:
    """One image after a step, pixel by pixel."""
    made = torch.zeros_like(image)
    _, height, width = image.shape
    for y in range(height):
        for x in range(width):
            if isinstance(drawn, Crops):
                top, left = drawn.corners[index].tolist()
                source = (y + top - drawn.padding, x + left - drawn.padding)
                if drawn.fill == "reflection":
                    source = (reflected(source[0], height), reflected(source[1], width))
            else:
                source = (y, width - 1 - x if drawn.mirrored[index] else x)
            if 0 <= source[0] < height and 0 <= source[1] < width:
                made[:, y, x] = image[:, source[0], source[1]]
    return made


@pytest.mark.parametrize("step", [PadCrop(), PadCrop(share=Fraction(1, 2)), REFLECTING, Flip()], ids=str)
def test_a_batch_is_its_images_one_by_one(step: PadCrop | Flip) -> None:
    """Every pixel is that of the slow loop, for indices in any order and more than once."""
    drawn = draw(step, 3, 1, 40, IMAGE)
    indices = torch.randint(40, (25,), generator=torch.Generator().manual_seed(0))
    images = torch.randn(25, *IMAGE, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([slow(image, int(index), drawn) for image, index in zip(images, indices, strict=True)])
    assert augment(images, indices, drawn).equal(expected)


@pytest.mark.parametrize("step", [PadCrop(), REFLECTING, Flip()], ids=str)
def test_the_images_given_stay_as_they_are(step: PadCrop | Flip) -> None:
    """Augmenting writes into no image of the resident part."""
    images = torch.randn(10, *IMAGE)
    copy = images.clone()
    augment(images, torch.arange(10), draw(step, 0, 0, 10, IMAGE))
    assert images.equal(copy)


def crops(step: PadCrop, seed: int, epoch: int, n: int, image: Shape) -> Crops:
    """The draw of a crop."""
    drawn = draw(step, seed, epoch, n, image)
    assert isinstance(drawn, Crops)
    return drawn


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
    drawn = crops(PadCrop(share=share), 0, 0, 2000, image)
    assert drawn.padding == padding
    assert [sorted(set(axis.tolist())) for axis in drawn.corners.T] == [list(range(2 * padding + 1))] * 2


def test_half_of_the_images_are_mirrored() -> None:
    """Mirrors fall as a fair coin does."""
    mirrors = draw(Flip(), 0, 0, 10_000, IMAGE)
    assert isinstance(mirrors, Mirrors)
    assert 0.48 < mirrors.mirrored.double().mean() < 0.52


@given(n=st.integers(1, 50), more=st.integers(0, 50))
def test_a_draw_depends_on_its_own_index_only(n: int, more: int) -> None:
    """More images leave the draws of an image as they are."""
    long, short = crops(PadCrop(), 5, 2, n + more, IMAGE), crops(PadCrop(), 5, 2, n, IMAGE)
    assert long.corners[:n].equal(short.corners)


def test_draws_differ_by_epoch_and_seed() -> None:
    """Another epoch or another seed draws anew."""
    drawn = {str(crops(PadCrop(), s, e, 20, IMAGE).corners.tolist()) for s in range(3) for e in range(3)}
    assert len(drawn) == 9


@pytest.mark.parametrize("step", [PadCrop(), Flip()], ids=str)
def test_repeats_draw_anew(step: PadCrop | Flip) -> None:
    """Image k of n is drawn for the r-th time at k + n·r: first as without repeats, then as for no other."""

    def values(repeats: int) -> Tensor:
        drawn = draw(step, 3, 1, 40, IMAGE, repeats=repeats)
        return drawn.corners if isinstance(drawn, Crops) else drawn.mirrored

    thrice, once = values(3), values(1)
    assert thrice.shape == (120, *once.shape[1:])
    assert thrice[:40].equal(once)
    parts = thrice.split(40)
    assert not any(parts[i].equal(parts[j]) for i in range(3) for j in range(i))
    assert values(2).equal(thrice[:80])
