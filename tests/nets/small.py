"""Small networks of one stream and of several, and what a hook on their modules sees."""

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
    """A network of small images, in evaluation."""
    return build(design, image=SMALL, classes=classes, seed=0).eval()


def images(count: int = 2) -> Tensor:
    """Some small images."""
    return torch.randn(count, *SMALL, generator=torch.Generator().manual_seed(1))


def at(network: nn.Module, path: str) -> Any:  # noqa: ANN401 - tests change what it has
    """A module by its path, whatever it is."""
    return network.get_submodule(path)


def watched(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """What a module takes and gives from now on, as a forward hook sees it."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        seen.append((given[0], out))

    module.register_forward_hook(keep)
    return seen


def streams_behind(network: Network, stage: int) -> Tensor:
    """All streams behind a stage, side by side, one unit after another from the images."""
    found = network.trace(images())
    path, unit = [(path, unit) for path, unit in network.plan.units if path.startswith(f"stages.{stage}.")][-1]
    names = [path] if unit.outcomes == 1 else [f"{path}.streams.{k}" for k in range(unit.outcomes)]
    return side_by_side(tuple(found[name] for name in names))
