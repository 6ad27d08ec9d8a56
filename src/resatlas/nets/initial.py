"""Where the weights of a network start."""

from typing import assert_never

import torch
from torch import Tensor, nn

from resatlas.arch.parameters import Constant, Normal, Start, Uniform, parameters
from resatlas.arch.plan import Plan
from resatlas.nets.unit import Projector


def initialise(network: nn.Module, plan: Plan, *, seed: int) -> None:
    """Set every parameter and buffer of a network by its authors' rule, drawing in the order of the layers.

    Source: fb.resnet.torch and the authors' files that the designs name; see `arch.blueprint.Initial`.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = dict(network.named_parameters())
    with torch.no_grad():
        for parameter in parameters(plan):
            tensors[parameter.path].copy_(drawn(parameter.shape, parameter.start, generator))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
            if isinstance(module, Projector):
                module.reset()


def drawn(shape: tuple[int, ...], start: Start, generator: torch.Generator) -> Tensor:
    """A tensor of that shape as it starts."""
    match start:
        case Normal(std=std):
            return torch.randn(shape, generator=generator) * std
        case Uniform(low=low, high=high):
            return torch.rand(shape, generator=generator) * (high - low) + low
        case Constant(value=value):
            return torch.full(shape, value)
        case _:
            assert_never(start)
