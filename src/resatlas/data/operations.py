"""Small operations on the shape or the colours of an image in bytes, and two ways of drawing among them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, assert_never

import torch
from jaxtyping import UInt8
from torch import Tensor

from resatlas.recipes.images import RandAugment, TrivialAugment, pixels

STRENGTHS = 31
"""Of each operation of TrivialAugment, from none to full. Source: torchvision, TrivialAugmentWide."""

_FULL = 10
"""The full strength of RandAugment's scale. Source: timm, auto_augment.py, _LEVEL_DENOM."""

Image = UInt8[Tensor, "c h w"]
Colour = tuple[float, ...]

Strength = float | Fraction
"""From 0 to 1; a fraction where thresholds are to be met exactly."""

Change = Callable[[Image, float, Colour | None], Image]
"""From an image, an amount and the colour that comes in from outside (None: black) to the image after an operation."""


@dataclass(frozen=True)
class Operation:
    """What is done to an image, and by how much at a strength and a sign of ±1."""

    change: Change
    amount: Callable[[Strength, int], Strength] = lambda _strength, _sign: 0.0


def augmented(
    image: Image, step: TrivialAugment | RandAugment, draw: torch.Generator, *, size: int, mean: Colour
) -> Image:
    """The image after the operations that are drawn; `size` is the network's, `mean` the mean colour from 0 to 255."""
    match step:
        case TrivialAugment(shift=shift):
            operation = _one(trivial(pixels(shift, size)), draw)
            strength = Fraction(_below(STRENGTHS, draw), STRENGTHS - 1)
            return operation.change(image, float(operation.amount(strength, _sign(draw))), None)
        case RandAugment(magnitude=magnitude, deviation=deviation, count=count, space=space):
            for _ in range(count):
                operation, carried_out = _one(SPACES[space], draw), _sign(draw) > 0
                drawn = float(magnitude) + float(deviation) * float(torch.randn((), generator=draw))
                amount = operation.amount(min(max(drawn, 0.0), _FULL) / _FULL, _sign(draw))
                image = operation.change(image, float(amount), mean) if carried_out else image
            return image
        case _:
            assert_never(step)


def trivial(shift: int) -> tuple[Operation, ...]:
    """The operations of TrivialAugment's wide space, the strongest shift being of so many pixels.

    Source: torchvision, TrivialAugmentWide, _augmentation_space.
    """
    return (
        Operation(_same),
        Operation(partial(_sheared, axis=0), _signed(Fraction(99, 100))),
        Operation(partial(_sheared, axis=1), _signed(Fraction(99, 100))),
        Operation(partial(_shifted, axis=0), lambda strength, sign: sign * int(shift * strength)),
        Operation(partial(_shifted, axis=1), lambda strength, sign: sign * int(shift * strength)),
        Operation(_rotated, _signed(Fraction(135))),
        *(
            Operation(partial(_adjusted, aspect=aspect), lambda s, sign: 1 + sign * s * 99 / 100)
            for aspect in _ENHANCED
        ),
        Operation(_posterised, lambda strength, _: 8 - round(6 * strength)),
        Operation(_solarised, lambda strength, _: 255 * (1 - strength)),
        Operation(partial(_remapped, how="autocontrast")),
        Operation(partial(_remapped, how="equalize")),
    )


def _signed(most: Strength) -> Callable[[Strength, int], Strength]:
    return lambda strength, sign: sign * most * strength


def _same(image: Image, _amount: float, _outside: Colour | None) -> Image:
    return image


def _sheared(image: Image, amount: float, outside: Colour | None, *, axis: int) -> Image:
    """(x, y) shows what was at (x + amount·y, y), or with axis 1 at (x, y + amount·x)."""
    shear = [0.0, 0.0]
    shear[axis] = math.degrees(math.atan(amount))
    return _moved(image, outside, shear=shear, center=[0.0, 0.0])


def _shifted(image: Image, amount: float, outside: Colour | None, *, axis: int) -> Image:
    """The image moved by so many pixels to the right, or with axis 1 downward."""
    translate = [0.0, 0.0]
    translate[axis] = amount
    return _moved(image, outside, translate=translate)


def _shifted_by_share(image: Image, amount: float, outside: Colour | None, *, axis: int) -> Image:
    """The image moved by a share of its side."""
    return _shifted(image, amount * image.shape[2 - axis], outside, axis=axis)


def _moved(image: Image, outside: Colour | None, **how: list[float]) -> Image:
    still: dict[str, Any] = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]}
    return _functional("affine")(image, **{**still, **how}, interpolation=_bilinear(), fill=_listed(outside))


def _rotated(image: Image, amount: float, outside: Colour | None) -> Image:
    """The image turned by so many degrees against the clock."""
    return _functional("rotate")(image, amount, interpolation=_bilinear(), fill=_listed(outside))


def _adjusted(image: Image, amount: float, _outside: Colour | None, *, aspect: str) -> Image:
    """Brightness, saturation, contrast or sharpness times a factor."""
    return _functional(f"adjust_{aspect}")(image, amount)


def _remapped(image: Image, _amount: float, _outside: Colour | None, *, how: str) -> Image:
    """Each channel spread over 0 to 255, or so that all values are as frequent."""
    return _functional(how)(image)


def _posterised(image: Image, amount: float, _outside: Colour | None) -> Image:
    """Each byte's highest bits, so many of them."""
    return image & (256 - (1 << (8 - int(amount)))) % 256


def _inverted(image: Image, _amount: float, _outside: Colour | None) -> Image:
    return 255 - image


def _solarised(image: Image, amount: float, _outside: Colour | None) -> Image:
    """Values from the amount on inverted."""
    return torch.where(image >= amount, 255 - image, image)


def _brightened_below_128(image: Image, amount: float, _outside: Colour | None) -> Image:
    """The amount added to values below 128."""
    return torch.where(image < 128, image + int(amount), image)  # at most 127 + 110


def _functional(name: str) -> Callable[..., Image]:
    from torchvision.transforms.v2 import functional as V

    return getattr(V, name)


def _bilinear() -> object:
    from torchvision.transforms import InterpolationMode

    return InterpolationMode.BILINEAR


def _listed(colour: Colour | None) -> list[float] | None:
    return None if colour is None else list(colour)


def _one(operations: tuple[Operation, ...], draw: torch.Generator) -> Operation:
    return operations[_below(len(operations), draw)]


def _sign(draw: torch.Generator) -> int:
    return 2 * _below(2, draw) - 1


def _below(count: int, draw: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=draw))


_ENHANCED = ("brightness", "saturation", "contrast", "sharpness")

_EITHER = (
    Operation(partial(_remapped, how="autocontrast")),
    Operation(partial(_remapped, how="equalize")),
    Operation(_inverted),
    Operation(_rotated, _signed(30.0)),
    Operation(_brightened_below_128, lambda strength, _: int(110 * strength)),
    Operation(partial(_sheared, axis=0), _signed(0.3)),
    Operation(partial(_sheared, axis=1), _signed(0.3)),
    Operation(partial(_shifted_by_share, axis=0), _signed(0.45)),
    Operation(partial(_shifted_by_share, axis=1), _signed(0.45)),
)

SPACES = {
    "increasing": (
        *_EITHER,
        Operation(_posterised, lambda strength, _: 4 - int(4 * strength)),
        Operation(_solarised, lambda strength, _: 256 - int(256 * strength)),
        *(
            Operation(partial(_adjusted, aspect=aspect), lambda strength, sign: max(0.1, 1 + sign * 0.9 * strength))
            for aspect in _ENHANCED
        ),
    ),
    "mixed": (
        *_EITHER,
        Operation(_posterised, lambda strength, _: int(4 * strength)),
        Operation(_solarised, lambda strength, _: int(256 * strength)),
        *(
            Operation(partial(_adjusted, aspect=aspect), lambda strength, _: 0.1 + 1.8 * strength)
            for aspect in _ENHANCED
        ),
    ),
}
"""RandAugment's operations with their amounts. Source: timm, auto_augment.py, _RAND_INCREASING_TRANSFORMS,
_RAND_TRANSFORMS and LEVEL_TO_ARG.
"""
