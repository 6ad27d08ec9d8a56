"""The optimizer of a recipe, with weight decay by the kind of parameter."""

from typing import Literal

import torch
from torch import nn

from resatlas.recipes.recipe import Decay, Form, Recipe

Kind = Literal["conv", "linear", "norm", "bias"]


def optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD over all parameters, in one group for each rate of weight decay; each step sets its learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for _, parameter, kind in parameters_by_kind(network):
        groups.setdefault(decay_of(kind, recipe.decay), []).append(parameter)
    return torch.optim.SGD(
        [{"params": members, "weight_decay": decay} for decay, members in groups.items()],
        lr=0.0,
        momentum=recipe.optimizer.momentum,
        nesterov=recipe.optimizer.form == "nesterov" and recipe.optimizer.momentum > 0,
        fused=True,
    )


def parameters_by_kind(network: nn.Module) -> list[tuple[str, nn.Parameter, Kind]]:
    """Path, parameter and kind of every parameter, in the order of the network."""
    return [
        (f"{path}.{name}", parameter, kind_of(module, name))
        for path, module in network.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    ]


def kind_of(module: nn.Module, name: str) -> Kind:
    """conv, linear, norm (its scale and its shift) or bias."""
    if isinstance(module, nn.BatchNorm2d):
        return "norm"
    if name == "bias":
        return "bias"
    return "conv" if isinstance(module, nn.Conv2d) else "linear"


def decay_of(kind: Kind, decay: Decay) -> float:
    """The rate for that kind."""
    match kind:
        case "conv":
            return decay.conv
        case "linear":
            return decay.linear
        case "norm":
            return decay.norm
        case "bias":
            return decay.bias


def momenta(network: nn.Module, sgd: torch.optim.SGD) -> dict[str, torch.Tensor]:
    """The momentum of every parameter that has one, by path."""
    buffers = {path: sgd.state[parameter].get("momentum_buffer") for path, parameter in network.named_parameters()}
    return {path: buffer for path, buffer in buffers.items() if buffer is not None}


def set_momenta(network: nn.Module, sgd: torch.optim.SGD, buffers: dict[str, torch.Tensor]) -> None:
    """Set what `momenta` gave, in the layout of each parameter."""
    for path, parameter in network.named_parameters():
        if path in buffers:
            sgd.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffers[path])


def forget_momenta(sgd: torch.optim.SGD) -> None:
    """Start the momentum of every parameter anew, as a fresh optimizer has it."""
    for state in sgd.state.values():
        if (buffer := state.get("momentum_buffer")) is not None:
            buffer.zero_()


def follow_rate(sgd: torch.optim.SGD, *, form: Form, before: float, now: float) -> None:
    """Let the velocity keep the rate that it was made with, where the form has the rate inside: v scaled by old/new.

    Source: Caffe's solver, v <- m·v + a·g; the ResNet authors' README warns of ports without it.
    """
    if form == "caffe" and now != before:
        for state in sgd.state.values():
            if (buffer := state.get("momentum_buffer")) is not None:
                buffer.mul_(before / now)
