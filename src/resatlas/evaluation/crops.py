"""The crops of an image that a view tests, pass by pass, and their normalisation."""

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
class Cropping:
    """One pass over the images: a function that cuts m crops of an image.

    `pixels` is the number of pixels of the m crops, None if it differs from image to image.
    """

    crop: Callable[[Pixels], Crops]
    pixels: int | None


def croppings_of(view: View, part: Part) -> Iterator[Cropping]:
    """The passes that a view makes over a part; images in memory are not cropped."""
    size = part.shape.height
    if not isinstance(part, ImageFiles):
        area = size * part.shape.width
        yield Cropping(crop=_whole if isinstance(view, Centre) else _mirrored(_whole), pixels=2 * area)
        return
    match view:
        case Centre(shorter=shorter, scale=scale):
            side = pixels(scale, size)
            yield Cropping(crop=_centred(shorter, side), pixels=side**2)
        case Flips(shorter=shorter, scale=scale):
            side = pixels(scale, size)
            yield Cropping(crop=_mirrored(_centred(shorter, side)), pixels=2 * side**2)
        case TenCrops(shorter=shorter):
            yield Cropping(crop=_mirrored(_five(pixels(shorter, size), size)), pixels=10 * size**2)
        case MultiScale(shorter=sides, flips=flips):
            for share in sides:
                crop = _scaled(pixels(share, size))
                yield Cropping(crop=crop if flips == "without" else _mirrored(crop), pixels=None)
        case _:
            assert_never(view)


def mean_of_crops(view: View) -> MeanOf:
    """The quantity averaged over the crops of a view; a centre view has a single crop."""
    return "logits" if isinstance(view, Centre) else view.mean_of


def _whole(image: Pixels) -> Crops:
    """The whole image as its only crop."""
    return image[None]


def scaled(image: Pixels, side: int) -> UInt8[Tensor, "c h2 w2"]:
    """The image resized to that shorter side, antialiased bilinear; of a strip beyond LONG : 1 its middle LONG : 1.

    The bound keeps memory bounded: a strip of 50 : 1 at the largest scale would take gigabytes.
    """
    from torchvision.transforms.v2 import functional as V

    h, w = image.shape[1:]
    most = LONG * min(h, w)
    top, left = (max(length - most, 0) // 2 for length in (h, w))
    middle = image[:, top : top + most, left : left + most]
    h, w = middle.shape[1:]
    return V.resize(middle, [side * h // min(h, w), side * w // min(h, w)], antialias=True)


def five_crops(image: Pixels, side: int, size: int) -> Crops:
    """Top left, top right, bottom left, bottom right and centre, after resizing the shorter side to `side`."""
    h, w = image.shape[1:]
    sides = height, width = (side * h // min(h, w), side * w // min(h, w))
    down, right = height - size, width - size
    corners = ((0, 0), (0, right), (down, 0), (down, right), (round(down / 2), round(right / 2)))
    if max(h, w) > LONG * min(h, w):
        return torch.stack([resized_crop(image, sides, corner, size) for corner in corners])
    large = scaled(image, side)
    return torch.stack([large[:, top : top + size, left : left + size] for top, left in corners])


def normalised_as(crops: Crops, by: Normaliser, part: Part) -> Float[Tensor, "m c h2 w2"]:
    """The normalised crops; at another size than the part's, a mean image is replaced by its mean in each channel.

    Raises: UsageError for a whitening, whose matrix fits one size.
    """
    same_size = tuple(crops.shape[2:]) == tuple(part.shape[1:])
    return normalised(unit(crops), by if same_size else _of_any_size(by, part))


def _of_any_size(by: Normaliser, part: Part) -> Normaliser:
    match by:
        case Affine(mean=mean, std=std):
            return Affine(mean=mean.mean(dim=(1, 2), keepdim=True), std=std.mean(dim=(1, 2), keepdim=True))
        case Whitening():
            raise UsageError(f"the whitening of this run fits images of {part.shape} only; choose centre or flips")
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
