"""Updates by random gradients, to compare optimizers with their formulas."""

from typing import Any

import torch
from torch import nn

from resatlas.nets.network import Network

RATES = (0.1, 0.3, 0.05, 0.2)
"""The learning rate of each step."""


def gradients(network: nn.Module, step: int) -> dict[str, torch.Tensor]:
    """Random gradients."""
    draw = torch.Generator().manual_seed(step)
    return {
        path: torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
        for path, parameter in network.named_parameters()
    }


def update(learning: Network, optimizer: Any, step: int) -> None:  # noqa: ANN401 - torch's or ours
    """Take one step of the optimizer."""
    for path, gradient in gradients(learning, step).items():
        learning.get_parameter(path).grad = gradient
    for group in optimizer.param_groups:
        group["lr"] = RATES[step]
    optimizer.step()
