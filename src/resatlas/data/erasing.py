"""Random rectangles of normalised images, erased; each image with draws of its own."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from resatlas.recipes.images import Erase

TRIES = 10
"""Draws of a rectangle before an image stays whole. Source: torchvision's RandomErasing, get_params."""


def erased(image: Float[Tensor, "c h w"], step: Erase, draw: torch.Generator) -> Float[Tensor, "c h w"]:
    """The image itself, or a copy with a rectangle of zeros or noise."""
    if _uniform(draw, 0.0, 1.0) >= step.probability:
        return image
    found = _rectangle(image.shape[1], image.shape[2], step, draw)
    if found is None:
        return image
    top, left, height, width = found
    made = image.clone()
    inside = made[:, top : top + height, left : left + width]
    inside.copy_(torch.randn(inside.shape, generator=draw) if step.fill == "noise" else torch.zeros(()))
    return made


def _rectangle(h: int, w: int, step: Erase, draw: torch.Generator) -> tuple[int, int, int, int] | None:
    """(top, left, height, width) of a rectangle of an allowed area and ratio within h and w, if one is met."""
    for _ in range(TRIES):
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
