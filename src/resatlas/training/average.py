"""The exponential moving average of a network's weights and running statistics."""

from copy import deepcopy
from fractions import Fraction

import torch

from resatlas.nets.network import Network
from resatlas.recipes.regularisers import Ema


def average_of(network: Network) -> Network:
    """A copy of the network for the average of its weights, without gradients."""
    return deepcopy(network).requires_grad_(requires_grad=False).eval()


@torch.no_grad()
def follow(average: Network, network: Network, ema: Ema, *, step: int, progress: Fraction) -> None:
    """Update the moving average after a step; the first step is number 0, at progress 0.

    Integer buffers, such as counts of batches, are copied.
    """
    if step % ema.every:
        return
    weight = 1.0 if step == 0 or progress < ema.begins else 1 - ema.decay
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point() and weight < 1:
            old.lerp_(new, weight)
        else:
            old.copy_(new)
