"""Augmentation of images with objects: one draw moves pixels, boxes and masks together."""

import math
from collections.abc import Sequence
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional as F

from resatlas.data.boxes import Sample
from resatlas.data.dataset import Mirror
from resatlas.data.photographic import coloured
from resatlas.recipes.images import BoxStep, ColourJitter, Flip, HslJitter, Lighting, PadCrop, ShorterSide, pixels


def stepped(sample: Sample, steps: Sequence[BoxStep], draw: torch.Generator, *, mirror: Mirror = "allowed") -> Sample:
    """The image and its objects after these steps, each with the next numbers of one generator.

    Flips are drawn and left out where a mirrored object does not keep its class.
    """
    for step in steps:
        sample = _stepped(sample, step, draw, mirror)
    return sample


def _stepped(sample: Sample, step: BoxStep, draw: torch.Generator, mirror: Mirror) -> Sample:
    match step:
        case Flip():
            chosen = _below(2, draw) == 1
            return mirrored(sample) if chosen and mirror == "allowed" else sample
        case ShorterSide(lengths=lengths, longest=longest):
            return scaled(sample, lengths[_below(len(lengths), draw)], longest)
        case PadCrop(share=share, fill=fill):
            height, width = sample.image.shape[:2]
            padding = pixels(share, max(height, width))
            top, left = _below(2 * padding + 1, draw), _below(2 * padding + 1, draw)
            return shifted(sample, top - padding, left - padding, reflected=fill == "reflection")
        case ColourJitter() | HslJitter() | Lighting():
            image = sample.image.permute(2, 0, 1).to(torch.float32) / 255
            changed = coloured(image, step, draw).clamp(0, 1).mul(255).round().to(torch.uint8)
            return sample._replace(image=changed.permute(1, 2, 0))
        case _:
            assert_never(step)


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged: x0, x1 -> w - x1, w - x0."""
    width = sample.image.shape[1]
    x0, y0, x1, y1 = sample.target["boxes"].unbind(1)
    target = {**sample.target, "boxes": torch.stack([width - x1, y0, width - x0, y1], dim=1)}
    if "masks" in target:
        target["masks"] = target["masks"].flip(2)
    return Sample(sample.image.flip(1), target)


def scaled(sample: Sample, shorter: int, longest: int) -> Sample:
    """The shorter side of this length, the longer at most `longest`; boxes by the factors of the whole pixels.

    Images are interpolated bilinearly and antialiased, masks take the nearest pixel.
    """
    from torchvision.transforms.v2 import functional as V

    height, width = sample.image.shape[:2]
    factor = min(shorter / min(height, width), longest / max(height, width))
    sides = [max(math.floor(side * factor + 0.5), 1) for side in (height, width)]
    image = V.resize(sample.image.permute(2, 0, 1), sides, antialias=True).permute(1, 2, 0)
    factors = torch.tensor([sides[1] / width, sides[0] / height] * 2, dtype=torch.float64)
    target = {**sample.target, "boxes": (sample.target["boxes"].double() * factors).float()}
    if "masks" in target:
        target["masks"] = _nearest(target["masks"], sides)
    return Sample(image, target)


def _nearest(masks: Tensor, sides: list[int]) -> Tensor:
    """Each mask with these sides, the pixel at each new pixel's centre.

    Shape: (n, h, w) -> (n, *sides).
    """
    for dimension, side in enumerate(sides, start=1):
        length = masks.shape[dimension]
        places = (torch.arange(side, dtype=torch.float64) + 0.5) * length / side
        masks = masks.index_select(dimension, places.long().clamp(max=length - 1))
    return masks


def cropped(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """The part of an image that begins at (top, left); boxes are cut to it, and objects outside of it left out."""
    image = sample.image[top : top + height, left : left + width]
    origin = torch.tensor([left, top, left, top], dtype=torch.float32)
    most = torch.tensor([image.shape[1], image.shape[0]] * 2, dtype=torch.float32)
    moved = {**sample.target, "boxes": torch.minimum((sample.target["boxes"] - origin).clamp(min=0), most)}
    if "masks" in moved:
        moved["masks"] = moved["masks"][:, top : top + height, left : left + width]
    return Sample(image, kept(moved))


def shifted(sample: Sample, top: int, left: int, *, reflected: bool = False) -> Sample:
    """An image of the old size that begins at (top, left), which may lie outside: there it is black or a reflection.

    A reflection has no objects: they are those of the image alone.
    """
    height, width = sample.image.shape[:2]
    padding = max(abs(top), abs(left))
    mode = "reflect" if reflected else "constant"
    padded = F.pad(sample.image.permute(2, 0, 1).float(), (padding,) * 4, mode=mode).to(torch.uint8).permute(1, 2, 0)
    target = {**sample.target, "boxes": sample.target["boxes"] + padding}
    if "masks" in target:
        target["masks"] = F.pad(target["masks"], (padding,) * 4)
    return cropped(Sample(padded, target), padding + top, padding + left, height, width)


def kept(target: dict[str, Tensor]) -> dict[str, Tensor]:
    """The objects whose boxes have an area, and whose masks have a pixel if there are masks.

    A box that a cut leaves next to its mask alone has nothing to be found.
    """
    boxes = target["boxes"]
    whole = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if "masks" in target:
        whole = whole & (target["masks"] != 0).flatten(1).any(dim=1)
    return {name: value[whole] for name, value in target.items()}


def _below(count: int, draw: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=draw))
