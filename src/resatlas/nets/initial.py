"""Where the weights of a network start."""

from collections.abc import Container
from typing import assert_never

import torch
from torch import Tensor, nn

from resatlas.arch.parameters import Constant, Normal, Start, Uniform, parameters
from resatlas.arch.plan import Plan
from resatlas.nets.unit import Projector


def initialise(network: nn.Module, plan: Plan, *, seed: int | None, only: Container[int] | None = None) -> None:
    """Set every parameter and buffer of a network by its authors' rule, drawing in the order of the layers.

    Without a seed torch's own generator draws. `only` leaves all parameters but some alone, named by their id.
    Source: fb.resnet.torch and the authors' files that the designs name; see `arch.blueprint.Initial`.
    """
    generator = torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
    tensors = dict(network.named_parameters())
    with torch.no_grad():
        for parameter in parameters(plan):
            tensor = tensors[parameter.path]
            if only is None or id(tensor) in only:
                _set(tensor, drawn(parameter.shape, parameter.start, generator))
        for module in network.modules() if only is None else ():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
            if isinstance(module, Projector):
                module.reset()


def _set(tensor: Tensor, value: Tensor) -> None:
    """Copy a value into a tensor; where this is sharded, each process takes its part of what the first has drawn."""
    if not hasattr(tensor, "device_mesh"):
        tensor.copy_(value)
        return
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(tensor, DTensor):
        tensor.copy_(distribute_tensor(value.to(tensor.device, tensor.dtype), tensor.device_mesh, tensor.placements))


def drawn(shape: tuple[int, ...], start: Start, generator: torch.Generator) -> Tensor:
    """A tensor of that shape as it starts."""
    match start:
        case Normal(std=std):
            return torch.randn(shape, generator=generator, device="cpu") * std
        case Uniform(low=low, high=high):
            return torch.rand(shape, generator=generator, device="cpu") * (high - low) + low
        case Constant(value=value):
            return torch.full(shape, value, device="cpu")
        case _:
            assert_never(start)
