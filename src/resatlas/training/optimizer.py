"""The optimizer of a recipe, with weight decay by the kind of parameter."""

from collections.abc import Mapping
from typing import Any, Literal, assert_never

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from resatlas.recipes.recipe import Decay, Lamb, Muon, Recipe, Sgd
from resatlas.recipes.recipe import Optimizer as Rule
from resatlas.training.lamb import LambOptimizer
from resatlas.training.muon import MuonOptimizer

Kind = Literal["conv", "linear", "norm", "bias"]


_BUFFERS: Mapping[type[Optimizer], tuple[str, ...]] = {
    torch.optim.SGD: ("momentum_buffer",),
    MuonOptimizer: ("momentum_buffer",),
    LambOptimizer: ("first", "second", "updates"),
}
"""The state that an optimizer keeps for each parameter."""


def optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimizer of a recipe, with one group for each rate of weight decay; each step sets the learning rate."""
    match recipe.optimizer:
        case Sgd(momentum=momentum, form=form):
            nesterov = form == "nesterov" and momentum > 0
            return torch.optim.SGD(
                _groups(network, recipe.decay), lr=0.0, momentum=momentum, nesterov=nesterov, fused=True
            )
        case Lamb():
            return LambOptimizer(_groups(network, recipe.decay), rule=recipe.optimizer)
        case Muon():
            kernels = {module.weight: module.groups for module in network.modules() if isinstance(module, nn.Conv2d)}
            return MuonOptimizer(_groups(network, recipe.decay, matrices=kernels), rule=recipe.optimizer)
        case _:
            assert_never(recipe.optimizer)


def _groups(
    network: nn.Module, decay: Decay, *, matrices: Mapping[torch.Tensor, int] | None = None
) -> list[dict[str, Any]]:
    """The parameters grouped by rate of weight decay and, if `matrices` is given, by their number of matrices."""
    groups: dict[tuple[float, int], list[nn.Parameter]] = {}
    for _, parameter, kind in parameters_by_kind(network):
        groups.setdefault((decay_of(kind, decay), (matrices or {}).get(parameter, 0)), []).append(parameter)
    return [
        {"params": members, "weight_decay": rate} | ({} if matrices is None else {"matrices": count})
        for (rate, count), members in groups.items()
    ]


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


def momenta(network: nn.Module, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state of every updated parameter: SGD's momentum by its path, others by path.name."""
    names = _BUFFERS[type(optimizer)]
    return {
        _key(path, name): optimizer.state[parameter][name]
        for path, parameter in network.named_parameters()
        for name in names
        if optimizer.state[parameter].get(name) is not None
    }


def set_momenta(network: nn.Module, optimizer: Optimizer, buffers: Mapping[str, torch.Tensor]) -> None:
    """Set the result of `momenta`, in the memory layout of each parameter."""
    for path, parameter in network.named_parameters():
        for name in _BUFFERS[type(optimizer)]:
            if (buffer := buffers.get(_key(path, name))) is not None:
                like = torch.empty_like(parameter) if buffer.shape == parameter.shape else torch.empty_like(buffer)
                optimizer.state[parameter][name] = like.copy_(buffer)


def _key(path: str, name: str) -> str:
    return path if name == "momentum_buffer" else f"{path}.{name}"


def forget_momenta(optimizer: Optimizer) -> None:
    """Set the momentum of every parameter to zero."""
    for state in optimizer.state.values():
        if (buffer := state.get("momentum_buffer")) is not None:
            buffer.zero_()


def follow_rate(optimizer: Optimizer, *, before: float, now: float, rule: Rule) -> None:
    """Scale the velocity by old/new rate for SGD in Caffe's form, where the velocity contains the rate.

    Source: Caffe's solver, v <- m·v + a·g; the ResNet authors' README warns of ports that omit it.
    """
    if isinstance(rule, Sgd) and rule.form == "caffe" and now != before:
        for state in optimizer.state.values():
            if (buffer := state.get("momentum_buffer")) is not None:
                buffer.mul_(before / now)
