"""Initial weights of a network."""

from collections.abc import Container
from typing import assert_never

import torch
from torch import Tensor, nn

from resatlas.arch.parameters import Constant, Normal, Start, Uniform, parameters
from resatlas.arch.plan import Plan
from resatlas.nets.unit import Projector


def initialise(network: nn.Module, plan: Plan, *, seed: int | None, only: Container[int] | None = None) -> None:
    """Initialise every parameter and buffer of a network by its authors' rule, in the order of the layers.

    Without a seed, torch's default generator is used. `only` limits this to parameters with the given ids.
    Source: fb.resnet.torch and the authors' files that the designs name; see `arch.blueprint.Initial`.
    """
    generator = torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
    tensors = dict(network.named_parameters())
    with torch.no_grad():
        for parameter in parameters(plan):
            tensor = tensors[parameter.path]
            if only is None or id(tensor) in only:
                _set(tensor, draw(parameter.shape, parameter.start, generator))
        for module in network.modules() if only is None else ():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
            if isinstance(module, Projector):
                module.reset()


def _set(tensor: Tensor, value: Tensor) -> None:
    """Copy a value into a tensor; if it is sharded, each process gets its part of the first process's value."""
    if not hasattr(tensor, "device_mesh"):
        tensor.copy_(value)
        return
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(tensor, DTensor):
        tensor.copy_(distribute_tensor(value.to(tensor.device, tensor.dtype), tensor.device_mesh, tensor.placements))


def draw(shape: tuple[int, ...], start: Start, generator: torch.Generator) -> Tensor:
    """Random initial values of a tensor."""
    match start:
        case Normal(std=std):
            return torch.randn(shape, generator=generator, device="cpu") * std
        case Uniform(low=low, high=high):
            return torch.rand(shape, generator=generator, device="cpu") * (high - low) + low
        case Constant(value=value):
            return torch.full(shape, value, device="cpu")
        case _:
            assert_never(start)
