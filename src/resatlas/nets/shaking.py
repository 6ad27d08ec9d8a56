"""Residuals weighted at random in training: shake-shake and shake-drop.

All numbers are drawn in the forward pass, those for the gradients too, so that a recomputation draws the same.
"""

from collections.abc import Sequence
from typing import assert_never

import torch
from torch import Tensor

from resatlas.recipes.regularisers import Level, ShakeDrop, ShakeShake


def weighted(x: Tensor, *, forward: Tensor, backward: Tensor) -> Tensor:
    """forward·x, and backward·g for a gradient g; weights are rounded to the precision of x."""
    forward, backward = forward.to(x.dtype), backward.to(x.dtype)
    return backward * x + (forward - backward) * x.detach()


def shaken_bodies(bodies: Sequence[Tensor], shake: ShakeShake) -> list[Tensor]:
    """(2·a·h_1, 2·(1 - a)·h_2), with gradients weighted by b in the place of a: see `ShakeShake`."""
    one, other = bodies
    half = torch.full((1, 1, 1, 1), 0.5, device=one.device)
    forward = _drawn(one, shake.level) if shake.forward == "shake" else half
    match shake.backward:
        case "shake":
            backward = _drawn(one, shake.level)
        case "keep":
            backward = forward
        case "even":
            backward = half
        case _:
            assert_never(shake.backward)
    return [
        weighted(one, forward=2 * forward, backward=2 * backward),
        weighted(other, forward=2 * (1 - forward), backward=2 * (1 - backward)),
    ]


def shaken_residual(residual: Tensor, shake: ShakeDrop, kept: float) -> Tensor:
    """(g + a - g·a)/e·h, with gradients weighted by b in the place of a: see `ShakeDrop`.

    g is 1 with the probability `kept`.
    """
    gate = (_drawn(residual, shake.gates) < kept).to(torch.float32)
    forward, backward = (_drawn(residual, shake.level, bounds) for bounds in (shake.alpha, shake.beta))
    expected = shake.expected(kept)
    return weighted(
        residual,
        forward=(gate + forward - gate * forward) / expected,
        backward=(gate + backward - gate * backward) / expected,
    )


def _drawn(maps: Tensor, level: Level, bounds: Sequence[float] = (0.0, 1.0)) -> Tensor:
    """Numbers from U(bounds), one for each part of the maps that the level names, at least in float32."""
    low, high = bounds
    dtype = torch.promote_types(maps.dtype, torch.float32)
    images, channels = maps.shape[:2]
    match level:
        case "batch":
            empty = torch.empty(1, 1, 1, 1, dtype=dtype, device=maps.device)
        case "image":
            empty = torch.empty(images, 1, 1, 1, dtype=dtype, device=maps.device)
        case "channel":
            empty = torch.empty(images, channels, 1, 1, dtype=dtype, device=maps.device)
        case "value":
            empty = torch.empty_like(maps, dtype=dtype)
        case _:
            assert_never(level)
    return empty.uniform_(low, high)
