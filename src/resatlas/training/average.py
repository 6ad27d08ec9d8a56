"""The exponential moving average of weights and running statistics."""

from copy import deepcopy
from fractions import Fraction
from typing import TypeVar

import torch
from torch import nn

from resatlas.recipes.regularisers import Ema

M = TypeVar("M", bound=nn.Module)


def average_of(module: M) -> M:
    """A copy of a module for the average of its weights, without gradients."""
    return deepcopy(module).requires_grad_(requires_grad=False).eval()


@torch.no_grad()
def follow(average: nn.Module, module: nn.Module, ema: Ema, *, step: int, progress: Fraction) -> None:
    """Update the moving average after a step; the first step is number 0, at progress 0.

    Integer buffers, such as counts of batches, are copied.
    """
    if step % ema.every:
        return
    weight = 1.0 if step == 0 or progress < ema.begins else 1 - ema.decay
    for old, new in zip(average.state_dict().values(), module.state_dict().values(), strict=True):
        if old.is_floating_point() and weight < 1:
            old.lerp_(new, weight)
        else:
            old.copy_(new)
