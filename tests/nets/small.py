"""Small networks of one stream and of several, and hooks that record inputs and outputs."""

from typing import Any

import torch
from torch import Tensor, nn

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build
from resatlas.nets.streams import side_by_side

SMALL = Shape(3, 16, 16)
ONE_STREAM = ("resnet:depth=8,base=4", "wrn-10-1", "preact-resnet-8", "pyramidnet-8-a12", "resnext-11-4x16d-form-a")
STREAMS = ("dmrnet:depth=14,base=4", "dmrnet-8-k3-swap-sum", "dmrnet-8-projector-concat", "dmrnet-8-identity-separate")


def small(design: str, *, classes: int = 5) -> Network:
    """A network for small images, in evaluation mode."""
    return build(design, image=SMALL, classes=classes, seed=0).eval()


def images(count: int = 2) -> Tensor:
    """Small random images."""
    return torch.randn(count, *SMALL, generator=torch.Generator().manual_seed(1))


def at(network: nn.Module, path: str) -> Any:  # noqa: ANN401 - tests set its attributes
    """The module of a path."""
    return network.get_submodule(path)


def recorded(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Record the inputs and outputs of a module with a forward hook."""
    calls: list[tuple[Tensor, Tensor]] = []

    def record(_module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        calls.append((inputs[0], out))

    module.register_forward_hook(record)
    return calls


def streams_after(network: Network, stage: int) -> Tensor:
    """All streams after a stage, concatenated, from a trace of the network."""
    outputs = network.trace(images())
    path, unit = [(path, unit) for path, unit in network.plan.units if path.startswith(f"stages.{stage}.")][-1]
    names = [path] if unit.outcomes == 1 else [f"{path}.streams.{k}" for k in range(unit.outcomes)]
    return side_by_side(tuple(outputs[name] for name in names))
