"""Our networks against those of torchvision, timm and pytorchcv, with the peer's weights read by `load_weights`."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.cost import cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs import catalog
from resatlas.nets.network import build
from resatlas.weights.conversion import export_weights, load_weights
from resatlas.weights.sources import dialect_for, key_of, path_of, shape_of
from tests.oracles.peers import peer, without_values


def _units(text: str, *units: int) -> Blueprint:
    """A depth that no paper has."""
    return replace(catalog.resolve(text).blueprint, units=units)


def _bare_stem(text: str) -> Blueprint:
    blueprint = catalog.resolve(text).blueprint
    return replace(blueprint, stem=replace(blueprint.stem, after=()))


TORCHVISION: dict[str, str | Blueprint] = {
    "resnet18": "resnet-18-B",
    "resnet34": "resnet-34-B",
    "resnet50": "resnet-50-v1.5",
    "resnet101": "resnet-101-v1.5",
    "resnet152": "resnet-152-v1.5",
    "resnext50_32x4d": "resnext-50-32x4d",
    "resnext101_32x8d": "resnext-101-32x8d",
    "resnext101_64x4d": "resnext-101-64x4d",
    "wide_resnet50_2": "wrn-50-2",
    "wide_resnet101_2": "wrn-101-2",
}

REGNETS: dict[str, str | Blueprint] = {
    "regnet_x_400mf": "regnet-x-400mf:rounding=up",
    "regnet_y_400mf": "regnet-y-400mf",
    "regnet_x_8gf": "regnet-x-8gf",
}

TIMM: dict[str, str | Blueprint] = {
    **TORCHVISION,
    "resnet200": "resnet-200-v1.5",
    "resnet18d": "resnet-18-d",
    "seresnet50": "se-resnet-50-v1.5",
    "seresnext50_32x4d": "se-resnext-50-32x4d",
    "resnet50c": "resnet-50-c",
    "ecaresnet50d": "eca-resnet-50-d",
    "ecaresnet101d": "eca-resnet-101-d",
    "res2net50_26w_4s": "res2net-50-26w-4s",
    "res2net50_14w_8s": "res2net-50-14w-8s",
    "res2net101_26w_4s": "res2net-101-26w-4s",
    "resnet50d": "resnet-50-d",
    "resnet101d": "resnet-101-d",
    "resnext101_32x4d": "resnext-101-32x4d",
    "resnetv2_18": _bare_stem("preact-resnet-18:wiring=projected"),
    "resnetv2_34": _bare_stem("preact-resnet-34:wiring=projected"),
    "resnetv2_50": "preact-resnet-50:wiring=paper,stride=3x3",
    "resnetv2_101": "preact-resnet-101:wiring=paper,stride=3x3",
    "resnetv2_152": "preact-resnet-152:wiring=paper,stride=3x3",
}

PYTORCHCV_CIFAR: dict[str, str | Blueprint] = {
    "resnet20_cifar10": "resnet-20-B",
    "resnet56_cifar10": "resnet-56-B",
    "seresnet20_cifar10": "se-resnet-20",
    "resnet110_svhn": "resnet-110-B",
    "resnet164bn_cifar10": "resnet-164-bottleneck:stride=3x3",
    "resnet272bn_cifar10": "resnet-272-bottleneck:stride=3x3",
    "preresnet20_cifar10": "preact-resnet-20-B:wiring=projected",
    "preresnet56_cifar10": "preact-resnet-56-B:wiring=projected",
    "preresnet110_svhn": "preact-resnet-110-B:wiring=projected",
    "preresnet164bn_cifar10": "preact-resnet-164:stride=3x3",
    "preresnet272bn_cifar10": "preact-resnet-272-bottleneck:stride=3x3",
    "wrn16_10_cifar10": "wrn-16-10",
    "wrn28_10_cifar10": "wrn-28-10",
    "resnext20_16x4d_cifar10": "resnext-20-16x4d",
    "resnext20_32x2d_cifar10": "resnext-20-32x2d",
    "resnext20_32x4d_cifar10": "resnext-20-32x4d",
    "resnext29_32x4d_cifar10": "resnext-29-32x4d",
    "resnext29_16x64d_cifar10": "resnext-29-16x64d",
    "pyramidnet110_a48_cifar10": "pyramidnet-110-a48",
    "pyramidnet110_a84_cifar10": "pyramidnet-110-a84",
    "pyramidnet110_a270_cifar10": "pyramidnet-110-a270",
    "pyramidnet164_a270_bn_cifar10": "pyramidnet-164-bottleneck-a270",
    "pyramidnet200_a240_bn_cifar10": "pyramidnet-200-bottleneck-a240",
    "resnext272_1x64d_cifar10": "resnext-272-1x64d",
    "wrn40_8_cifar10": "wrn-40-8",
    "pyramidnet236_a220_bn_cifar10": "pyramidnet-236-bottleneck-a220",
    "pyramidnet272_a200_bn_cifar10": "pyramidnet-272-bottleneck-a200",
}

PYTORCHCV_IMAGENET: dict[str, str | Blueprint] = {
    "resnet10": _units("resnet-18-B", 1, 1, 1, 1),
    "resnet12": _units("resnet-18-B", 2, 1, 1, 1),
    "resnet14": _units("resnet-18-B", 2, 2, 1, 1),
    "resnetbc14b": _units("resnet-50-v1.5", 1, 1, 1, 1),
    "resnet16": _units("resnet-18-B", 2, 2, 2, 1),
    "resnet18": "resnet-18-B",
    "resnet26": _units("resnet-18-B", 3, 3, 3, 3),
    "resnetbc26b": _units("resnet-50-v1.5", 2, 2, 2, 2),
    "resnet34": "resnet-34-B",
    "resnetbc38b": _units("resnet-50-v1.5", 3, 3, 3, 3),
    "resnet50": "resnet-50",
    "resnet50b": "resnet-50-v1.5",
    "resnet101": "resnet-101",
    "resnet152b": "resnet-152-v1.5",
    "preresnet18": "preact-resnet-18:wiring=projected",
    "preresnet34": "preact-resnet-34:wiring=projected",
    "preresnet50": "preact-resnet-50:wiring=projected",
    "preresnet50b": "preact-resnet-50:wiring=projected,stride=3x3",
    "preresnet101b": "preact-resnet-101:wiring=projected,stride=3x3",
    "resnext50_32x4d": "resnext-50-32x4d",
    "resnext101_64x4d": "resnext-101-64x4d",
    "pyramidnet101_a360": "pyramidnet-101-bottleneck-a360",
}

LARGE = 0.7e9  # multiply-adds

LARGER = {
    *("resnet34", "resnet101", "resnet152", "resnet152b", "resnet200"),
    *("resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet101_2"),
    *("resnetv2_34", "resnetv2_101", "resnetv2_152", "preresnet34", "preresnet101b"),
    *("resnet56_cifar10", "resnet110_svhn", "resnet272bn_cifar10"),
    *("preresnet56_cifar10", "preresnet110_svhn", "preresnet272bn_cifar10"),
    *("wrn28_10_cifar10", "wrn40_8_cifar10", "resnext29_16x64d_cifar10", "resnext272_1x64d_cifar10"),
    *("pyramidnet110_a84_cifar10", "pyramidnet110_a270_cifar10", "pyramidnet200_a240_bn_cifar10"),
    *("pyramidnet236_a220_bn_cifar10", "pyramidnet272_a200_bn_cifar10"),
    *("resnet12", "resnet14", "resnet16", "resnet26", "resnetbc26b", "resnetbc38b"),
    *("resnet101d", "ecaresnet101d", "regnet_x_8gf", "res2net50_14w_8s", "res2net101_26w_4s"),
}
"""Networks that differ from another one of their library in depth and widths alone."""

PEERS = [
    *(("torchvision", name, ours) for name, ours in (TORCHVISION | REGNETS).items()),
    *(("timm", name, ours) for name, ours in TIMM.items()),
    *(("pytorchcv", name, ours) for name, ours in (PYTORCHCV_CIFAR | PYTORCHCV_IMAGENET).items()),
]


@pytest.mark.parametrize(("source", "name", "ours"), PEERS, ids=[f"{source}-{name}" for source, name, _ in PEERS])
def test_the_tensors_of_a_peer_are_ours(source: str, name: str, ours: str | Blueprint) -> None:
    """Names and shapes, of every network."""
    plan = _plan_of(name, ours)
    theirs = without_values(source, name, classes=10).state_dict()
    renamed = _renamed(build(plan, device="meta").state_dict(), plan, source)
    assert {key: each.shape for key, each in renamed.items()} == {key: each.shape for key, each in theirs.items()}


SMALLER = [peer for peer in PEERS if peer[1] not in LARGER]


@pytest.mark.parametrize(("source", "name", "ours"), SMALLER, ids=[f"{source}-{name}" for source, name, _ in SMALLER])
def test_a_peer_and_ours_are_one_function(source: str, name: str, ours: str | Blueprint) -> None:
    """The peer's weights give its logits, gradients and running statistics in float64, and come out as they went in.

    Of networks with more than `LARGE` multiply-adds one image is enough, and there are no gradients.
    """
    theirs = peer(source, name, classes=10)
    plan = _plan_of(name, ours)
    large = cost(plan).multiply_adds > LARGE
    network = build(plan, device="meta").to_empty(device="cpu").double()
    load_weights(network, theirs.state_dict(), source=source)
    exported, given = export_weights(network, target=source), theirs.state_dict()
    assert set(exported) == set(given)
    assert all(torch.equal(exported[key], given[key]) for key in given)
    images = _drawn(1 if large else 2, *plan.image)
    with torch.no_grad():
        _assert_close({"logits": network.eval()(images)}, {"logits": theirs.eval()(images)}, within=1e-9)
    with torch.set_grad_enabled(not large):
        logits, expected = network.train()(images), theirs.train()(images)
    _assert_close({"logits": logits.detach()}, {"logits": expected.detach()}, within=1e-9)
    _assert_close(_statistics(export_weights(network, target=source)), _statistics(theirs.state_dict()), within=1e-9)
    if not large:
        gradients = _gradients(theirs, expected)
        _assert_close(_renamed(_gradients(network, logits), plan, source), gradients, within=1e-7)


def _plan_of(name: str, ours: str | Blueprint) -> Plan:
    blueprint = catalog.resolve(ours).blueprint if isinstance(ours, str) else ours
    side = 32 if name in PYTORCHCV_CIFAR else 64
    return expand(blueprint, image=Shape(3, side, side), classes=10)


def _statistics(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: each for key, each in weights.items() if key.endswith(("running_mean", "running_var"))}


def _gradients(network: nn.Module, logits: Tensor) -> dict[str, Tensor]:
    """The gradient of every parameter by its name."""
    names, weights = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(logits, weights, _drawn(*logits.shape)), strict=True))


def _renamed(ours: Mapping[str, Tensor], plan: Plan, source: str) -> dict[str, Tensor]:
    """Tensors of ours under the names of the source, which lead back to our paths."""
    dialect = dialect_for(plan, source)
    keys = {path: key_of(path, dialect, plan) or "" for path in ours}
    assert [path_of(key, dialect, plan) for key in keys.values()] == list(keys)
    return {keys[path]: each.view(shape_of(path, tuple(each.shape), dialect)) for path, each in ours.items()}


def _drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def _assert_close(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], *, within: float) -> None:
    """The same names, shapes and values, up to a share of the largest value of each tensor."""
    assert {key: each.shape for key, each in ours.items()} == {key: each.shape for key, each in theirs.items()}
    far = {
        key: float((ours[key] - each).abs().max() / each.abs().max().clamp(min=1e-30)) for key, each in theirs.items()
    }
    assert {key: share for key, share in far.items() if not share <= within} == {}
