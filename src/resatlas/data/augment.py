"""Random crops, mirrors and erased rectangles; seed, epoch and the image's index fix every draw."""

import math
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from resatlas.arch.ops import Shape
from resatlas.data.order import generator, occasion
from resatlas.data.placing import placed
from resatlas.recipes.images import Erase, Flip, PadCrop, pixels

_TRIES = 10
"""Draws of a rectangle before an image stays whole. Source: torchvision's RandomErasing, get_params."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """The first row and column of each image's crop, in the image padded by `padding` pixels on each side."""

    padding: int
    fill: Literal["zeros", "reflection"]
    corners: Int64[Tensor, "n 2"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mirrors:
    """Which images are mirrored."""

    mirrored: Bool[Tensor, " n"]


def draw(step: PadCrop | Flip, seed: int, epoch: int, n: int, image: Shape, *, repeats: int = 1) -> Crops | Mirrors:
    """The draws of one step in one epoch for n images, each `repeats` times: the r-th draw of image k is at k + n·r.

    A draw of an image does not depend on later images, on other steps, or on its other draws.
    """
    match step:
        case PadCrop(share=share, fill=fill):
            padding = pixels(share, max(image.height, image.width))
            corners = _draws(seed, "crop", epoch, (n, 2), values=2 * padding + 1, repeats=repeats)
            return Crops(padding=padding, fill=fill, corners=corners)
        case Flip():
            return Mirrors(mirrored=_draws(seed, "flip", epoch, (n,), values=2, repeats=repeats).bool())
        case _:
            assert_never(step)


def _draws(seed: int, word: str, epoch: int, shape: tuple[int, ...], *, values: int, repeats: int) -> Tensor:
    """Numbers below `values`, of this shape for each repeat, concatenated."""
    draws = (generator(seed, word, *occasion(epoch, repeat)) for repeat in range(repeats))
    return torch.cat([torch.randint(values, shape, generator=draw) for draw in draws])


def augment(
    images: Float[Tensor, "b c h w"], indices: Int64[Tensor, " b"], drawn: Crops | Mirrors
) -> Float[Tensor, "b c h w"]:
    """The images after one step, each with the draw of its index. Draws and indices are in main memory."""
    match drawn:
        case Crops(corners=corners):
            own = placed(corners[indices], images.device)
            return _cropped(images, own, padding=drawn.padding, fill=drawn.fill)
        case Mirrors(mirrored=mirrored):
            chosen = placed(mirrored[indices].nonzero()[:, 0], images.device)
            return images.index_copy(0, chosen, images.index_select(0, chosen).flip(3))
        case _:
            assert_never(drawn)


def _cropped(
    images: Float[Tensor, "b c h w"],
    corners: Int64[Tensor, "b 2"],
    *,
    padding: int,
    fill: Literal["zeros", "reflection"] = "zeros",
) -> Float[Tensor, "b c h w"]:
    """Crops of the old size, which begin at the corners of the padded images."""
    n, c, h, w = images.shape
    padded = F.pad(images, (padding,) * 4, mode="reflect" if fill == "reflection" else "constant")
    top, left = corners[:, :, None, None].unbind(1)  # (n, 1, 1)
    rows = torch.arange(n * c, device=images.device).view(n, c, 1) * padded.shape[2] + top
    begins = (rows + torch.arange(h, device=images.device)) * padded.shape[3] + left  # (n, c, h)
    runs = padded.flatten().unfold(0, w, 1)  # all runs of w consecutive values, as a view
    return runs.index_select(0, begins.flatten()).view(images.shape)


def erased(image: Float[Tensor, "c h w"], step: Erase, draw: torch.Generator) -> Float[Tensor, "c h w"]:
    """The image itself, or a copy with a rectangle of zeros or noise."""
    if _uniform(draw, 0.0, 1.0) >= step.probability:
        return image
    rectangle = _rectangle(image.shape[1], image.shape[2], step, draw)
    if rectangle is None:
        return image
    top, left, height, width = rectangle
    copy = image.clone()
    inside = copy[:, top : top + height, left : left + width]
    if step.fill == "noise":
        inside.copy_(placed(torch.randn(inside.shape, generator=draw), image.device))
    else:
        inside.zero_()
    return copy


def _rectangle(h: int, w: int, step: Erase, draw: torch.Generator) -> tuple[int, int, int, int] | None:
    """(top, left, height, width) of a rectangle of an allowed area and ratio within h and w, if one is drawn."""
    for _ in range(_TRIES):
        area = h * w * _uniform(draw, float(step.least), float(step.most))
        ratio = math.exp(_uniform(draw, math.log(step.narrowest), math.log(step.widest)))
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if height < h and width < w:
            return _corner(draw, h - height), _corner(draw, w - width), height, width
    return None


def _uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw, dtype=torch.float64))


def _corner(draw: torch.Generator, room: int) -> int:
    return int(torch.randint(room + 1, (), generator=draw))
