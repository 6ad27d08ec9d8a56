"""Where the weights of a network start."""

import math

import torch
from torch import nn

from resatlas.arch.blueprint import Initial


def initialise(network: nn.Module, initial: Initial, *, seed: int) -> None:
    """Set every parameter and buffer of a network by its authors' rule, drawing in the order of the modules.

    Symbols: see `Initial`. Source: fb.resnet.torch and the authors' files that the designs name.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            match module:
                case nn.Conv2d():
                    module.weight.copy_(_normal(module.weight, fan_of(module, initial), generator))
                case nn.BatchNorm2d():
                    module.reset_running_stats()
                    if initial.scale == "uniform":
                        module.weight.copy_(torch.rand(module.weight.shape, generator=generator))
                    else:
                        module.weight.fill_(1)
                    module.bias.zero_()
                case nn.Linear():
                    bound = 1 / math.sqrt(module.in_features)
                    module.weight.copy_((2 * torch.rand(module.weight.shape, generator=generator) - 1) * bound)
                    module.bias.zero_()
                case _:
                    pass  # no parameters of its own


def fan_of(conv: nn.Conv2d, initial: Initial) -> int:
    """kernel² · inputs of a group, or kernel² · all outputs even where they are grouped."""
    area = conv.kernel_size[0] * conv.kernel_size[1]
    return area * (conv.in_channels // conv.groups if initial.fan == "in" else conv.out_channels)


def _normal(weight: torch.Tensor, fan: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(weight.shape, generator=generator) * math.sqrt(2 / fan)
