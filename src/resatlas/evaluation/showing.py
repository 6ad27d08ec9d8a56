"""What a view shows of an image: crops of its pixels, pass by pass, and how they are normalised."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from resatlas.data.dataset import ImageFiles, Part
from resatlas.data.normalisation import Affine, Normaliser, Whitening, normalised, unit
from resatlas.data.photographic import LONG, centre, resized_crop
from resatlas.errors import UsageError
from resatlas.recipes.images import Centre, Flips, MeanOf, MultiScale, TenCrops, View, pixels

Pixels = UInt8[Tensor, "c h w"]
Crops = UInt8[Tensor, "m c h2 w2"]


@dataclass(frozen=True, kw_only=True)
class Showing:
    """One pass over the images: what is shown of each, m crops at once.

    `values` is how many pixels that is, None where it differs from image to image.
    """

    make: Callable[[Pixels], Crops]
    values: int | None


def showings(view: View, part: Part) -> Iterator[Showing]:
    """The passes over a part that a view takes; images in memory are shown whole."""
    size, images = part.shape.height, part.shape.height * part.shape.width
    if not isinstance(part, ImageFiles):
        yield Showing(make=whole if isinstance(view, Centre) else _mirrored(whole), values=images * 2)
        return
    match view:
        case Centre(shorter=shorter, scale=scale):
            crop = pixels(scale, size)
            yield Showing(make=_centred(shorter, crop), values=crop**2)
        case Flips(shorter=shorter, scale=scale):
            crop = pixels(scale, size)
            yield Showing(make=_mirrored(_centred(shorter, crop)), values=2 * crop**2)
        case TenCrops(shorter=shorter):
            yield Showing(make=_mirrored(_five(pixels(shorter, size), size)), values=10 * size**2)
        case MultiScale(shorter=sides, flips=flips):
            for share in sides:
                make = _scaled(pixels(share, size))
                yield Showing(make=make if flips == "without" else _mirrored(make), values=None)
        case _:
            assert_never(view)


def averaged(view: View) -> MeanOf:
    """What is averaged over the crops of a view; a single one is left as it is."""
    return "logits" if isinstance(view, Centre) else view.mean_of


def whole(image: Pixels) -> Crops:
    """The image itself, the only one of its crops."""
    return image[None]


def scaled(image: Pixels, side: int) -> UInt8[Tensor, "c h2 w2"]:
    """The whole image with that shorter side, antialiased bilinear; of a long strip the middle, LONG times as long."""
    from torchvision.transforms.v2 import functional as V

    h, w = image.shape[1:]
    most = LONG * min(h, w)
    top, left = (max(length - most, 0) // 2 for length in (h, w))
    shown = image[:, top : top + most, left : left + most]
    h, w = shown.shape[1:]
    return V.resize(shown, [side * h // min(h, w), side * w // min(h, w)], antialias=True)


def five_crops(image: Pixels, side: int, size: int) -> Crops:
    """Top left, top right, bottom left, bottom right and centre, after the shorter side has become `side`."""
    h, w = image.shape[1:]
    sides = height, width = (side * h // min(h, w), side * w // min(h, w))
    down, right = height - size, width - size
    corners = ((0, 0), (0, right), (down, 0), (down, right), (round(down / 2), round(right / 2)))
    if max(h, w) > LONG * min(h, w):
        return torch.stack([resized_crop(image, sides, corner, size) for corner in corners])
    large = scaled(image, side)
    return torch.stack([large[:, top : top + size, left : left + size] for top, left in corners])


def normalised_as(crops: Crops, by: Normaliser, part: Part) -> Float[Tensor, "m c h2 w2"]:
    """The crops as the network takes them; at another size than the part's a mean image is its mean in each channel.

    Raises: UsageError if they are whitened, which no other size can be.
    """
    return normalised(unit(crops), by if tuple(crops.shape[2:]) == tuple(part.shape[1:]) else _of_any_size(by, part))


def _of_any_size(by: Normaliser, part: Part) -> Normaliser:
    match by:
        case Affine(mean=mean, std=std):
            return Affine(mean=mean.mean(dim=(1, 2), keepdim=True), std=std.mean(dim=(1, 2), keepdim=True))
        case Whitening():
            raise UsageError(f"the run whitens images of {part.shape}, and no others; choose centre or flips")
        case _:
            assert_never(by)


def _centred(shorter: Fraction, crop: int) -> Callable[[Pixels], Crops]:
    return lambda image: centre(image, Centre(shorter=shorter), crop)[None]


def _five(side: int, size: int) -> Callable[[Pixels], Crops]:
    return lambda image: five_crops(image, side, size)


def _scaled(side: int) -> Callable[[Pixels], Crops]:
    return lambda image: scaled(image, side)[None]


def _mirrored(make: Callable[[Pixels], Crops]) -> Callable[[Pixels], Crops]:
    """The crops, then their mirror images in the same order."""

    def both(image: Pixels) -> Crops:
        crops = make(image)
        return torch.cat([crops, crops.flip(-1)])

    return both
