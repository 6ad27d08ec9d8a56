"""Random crops and mirrors of whole batches; every draw is fixed by seed, epoch and the image's index."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from resatlas.arch.ops import Shape
from resatlas.data.order import generator
from resatlas.recipes.images import Flip, PadCrop


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """Row and column where each image's crop begins, in the image padded by `padding` pixels a side."""

    padding: int
    fill: Literal["zeros", "reflection"]
    corners: Int64[Tensor, "n 2"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mirrors:
    """Which images are mirrored."""

    mirrored: Bool[Tensor, " n"]


def draw(step: PadCrop | Flip, seed: int, epoch: int, n: int, image: Shape) -> Crops | Mirrors:
    """What one step draws in one epoch for n images.

    What an image draws depends neither on the images after it nor on the other steps.
    """
    match step:
        case PadCrop(share=share, fill=fill):
            padding = math.floor(share * max(image.height, image.width) + Fraction(1, 2))
            corners = torch.randint(2 * padding + 1, (n, 2), generator=generator(seed, "crop", epoch))
            return Crops(padding=padding, fill=fill, corners=corners)
        case Flip():
            return Mirrors(mirrored=torch.randint(2, (n,), generator=generator(seed, "flip", epoch)).bool())
        case _:
            assert_never(step)


def augment(
    images: Float[Tensor, "b c h w"], indices: Int64[Tensor, " b"], drawn: Crops | Mirrors
) -> Float[Tensor, "b c h w"]:
    """The images after one step, each with the draw of its index."""
    match drawn:
        case Crops(corners=corners):
            return cropped(images, corners[indices], padding=drawn.padding, fill=drawn.fill)
        case Mirrors(mirrored=mirrored):
            return torch.where(mirrored[indices, None, None, None], images.flip(3), images)
        case _:
            assert_never(drawn)


def cropped(
    images: Float[Tensor, "b c h w"],
    corners: Int64[Tensor, "b 2"],
    *,
    padding: int,
    fill: Literal["zeros", "reflection"] = "zeros",
) -> Float[Tensor, "b c h w"]:
    """Crops of the old size, which begin at the corners of the padded images."""
    h, w = images.shape[2:]
    padded = F.pad(images, (padding,) * 4, mode="reflect" if fill == "reflection" else "constant")
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # (b, c, 2·padding + 1, 2·padding + 1, h, w), a view
    rows, columns = corners.unbind(1)
    return windows[torch.arange(len(images)), :, rows, columns]
