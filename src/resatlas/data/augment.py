"""Random crops and mirrors of whole batches; every draw is fixed by seed, epoch and the image's index."""

from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from resatlas.arch.ops import Shape
from resatlas.data.order import generator, occasion
from resatlas.recipes.images import Flip, PadCrop, pixels


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


def draw(step: PadCrop | Flip, seed: int, epoch: int, n: int, image: Shape, *, repeats: int = 1) -> Crops | Mirrors:
    """What one step draws in one epoch for n images, each of them `repeats` times: the r-th of image k is at k + n·r.

    What an image draws depends neither on the images after it nor on the other steps nor on its other draws.
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
    """Numbers below `values`: of that shape for each repeat, one after another."""
    each = (generator(seed, word, *occasion(epoch, repeat)) for repeat in range(repeats))
    return torch.cat([torch.randint(values, shape, generator=one) for one in each])


def augment(
    images: Float[Tensor, "b c h w"], indices: Int64[Tensor, " b"], drawn: Crops | Mirrors
) -> Float[Tensor, "b c h w"]:
    """The images after one step, each with the draw of its index."""
    match drawn:
        case Crops(corners=corners):
            return cropped(images, corners[indices], padding=drawn.padding, fill=drawn.fill)
        case Mirrors(mirrored=mirrored):
            chosen = mirrored[indices].nonzero()[:, 0]
            return images.index_copy(0, chosen, images.index_select(0, chosen).flip(3))
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
    n, c, h, w = images.shape
    padded = F.pad(images, (padding,) * 4, mode="reflect" if fill == "reflection" else "constant")
    top, left = corners[:, :, None, None].unbind(1)  # (n, 1, 1)
    rows = torch.arange(n * c, device=images.device).view(n, c, 1) * padded.shape[2] + top
    begins = (rows + torch.arange(h, device=images.device)) * padded.shape[3] + left  # (n, c, h)
    runs = padded.flatten().unfold(0, w, 1)  # every w values that follow one another, a view
    return runs.index_select(0, begins.flatten()).view(images.shape)
