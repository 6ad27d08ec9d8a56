"""Random crops and mirrors of whole batches; every draw is fixed by seed, epoch and the image's index."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from resatlas.arch.ops import Shape
from resatlas.data.dataset import Mirror
from resatlas.data.order import generator
from resatlas.recipes.recipe import Augmentation, Flip, PadCrop


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """Row and column where each image's crop begins, in the image padded by `padding` pixels a side."""

    padding: int
    corners: Int64[Tensor, "n 2"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mirrors:
    """Which images are mirrored."""

    mirrored: Bool[Tensor, " n"]


Draws = tuple[Crops | Mirrors, ...]


def allowed(augmentation: tuple[Augmentation, ...], mirror: Mirror) -> tuple[Augmentation, ...]:
    """The augmentation without flips where mirrored images lose their class."""
    return tuple(step for step in augmentation if mirror == "allowed" or not isinstance(step, Flip))


def draws(seed: int, epoch: int, n: int, augmentation: tuple[Augmentation, ...], image: Shape) -> Draws:
    """The draws of one epoch for n images, one entry for each step of the augmentation.

    What an image draws depends neither on the images after it nor on the other steps.
    """
    return tuple(draw(step, seed, epoch, n, image) for step in augmentation)


def draw(step: Augmentation, seed: int, epoch: int, n: int, image: Shape) -> Crops | Mirrors:
    """What one step draws in one epoch for n images."""
    match step:
        case PadCrop(share=share):
            padding = math.floor(share * max(image.height, image.width) + Fraction(1, 2))
            corners = torch.randint(2 * padding + 1, (n, 2), generator=generator(seed, "crop", epoch))
            return Crops(padding=padding, corners=corners)
        case Flip():
            return Mirrors(mirrored=torch.randint(2, (n,), generator=generator(seed, "flip", epoch)).bool())
        case _:
            assert_never(step)


def augment(images: Float[Tensor, "b c h w"], indices: Int64[Tensor, " b"], draws: Draws) -> Float[Tensor, "b c h w"]:
    """The images after every step, each image with the draws of its index.

    Cropping fills with zeros, which in normalised images is the mean colour.
    """
    for step in draws:
        match step:
            case Crops(padding=padding, corners=corners):
                images = cropped(images, corners[indices], padding=padding)
            case Mirrors(mirrored=mirrored):
                images = torch.where(mirrored[indices, None, None, None], images.flip(3), images)
            case _:
                assert_never(step)
    return images


def cropped(
    images: Float[Tensor, "b c h w"], corners: Int64[Tensor, "b 2"], *, padding: int
) -> Float[Tensor, "b c h w"]:
    """Crops of the old size, which begin at the corners of the padded images."""
    h, w = images.shape[2:]
    padded = F.pad(images, (padding,) * 4)
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # (b, c, 2·padding + 1, 2·padding + 1, h, w), a view
    rows, columns = corners.unbind(1)
    return windows[torch.arange(len(images)), :, rows, columns]
