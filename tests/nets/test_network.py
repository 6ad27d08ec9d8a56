"""Every network of the catalogue as a module: parameters, paths, outputs, traces and gradients."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resatlas.arch.conventions import multiply_adds, operations
from resatlas.arch.cost import cost, cost_by_path
from resatlas.arch.plan import layers
from resatlas.designs.catalog import named, plan
from resatlas.nets.network import build
from tests.promptness import at_once

FAMILIES = (
    "resnet-20",
    "plain-20",
    "preact-resnet:depth=20",
    "wrn-16-2",
    "resnext:depth=11,cardinality=4,width=8,base=16",
    "resnext:depth=11,cardinality=4,width=8,base=16,form=a",
    "resnext:depth=11,cardinality=4,width=8,base=16,form=b",
    "pyramidnet:depth=14,alpha=20",
    "dmrnet-14",
    "dmrnet:depth=14,join=concat",
    "dilnet-14",
)


@pytest.mark.parametrize("name", named())
def test_the_built_network_is_the_plan(name: str) -> None:
    """Parameters per path are the counted ones, module names are the plan's paths, the output has its shape.

    PyTorch counts two operations for each of our multiply-adds, to the last one.
    """
    entry = named()[name]
    expected = entry.plan()
    network = build(expected, device="meta")
    built: dict[str, int] = {}
    for path, parameter in network.named_parameters():
        layer = path.rpartition(".")[0]
        built[layer] = built.get(layer, 0) + parameter.numel()
    assert built == {path: layer.parameters for path, layer in cost_by_path(expected).items() if layer.parameters}
    assert sum(built.values()) == cost(expected).parameters
    modules = dict(network.named_modules())
    assert all(path in modules for path, _ in layers(expected))
    for path, module in modules.items():
        if isinstance(module, (nn.BatchNorm2d, nn.ReLU)):  # without multiply-adds, and slow to trace
            network.set_submodule(path, nn.Identity())
    images = torch.empty(1, *expected.image, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert network.eval()(images).shape == (1, entry.classes)
    assert counter.get_total_flops() == operations(expected) == 2 * multiply_adds(expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_trace_names_every_layer_and_no_value_changes_later(name: str) -> None:
    """Keys of a trace are the plan's layers and units, shapes are the plan's, and the last tensor is the output."""
    expected = plan(name, classes=7)
    network = build(expected, seed=0).eval()
    images = torch.randn(2, *expected.image)
    outputs = network.trace(images)
    for path, layer in layers(expected):
        shape = outputs[path].shape
        assert shape == (2, *layer.output)[: len(shape)], path
    units = [
        path
        for path, unit in expected.units
        for path in ([path] if unit.outcomes == 1 else _streams(path, unit.outcomes))
    ]
    assert set(outputs) == {path for path, _ in layers(expected)} | set(units)
    copies = {path: tensor.clone() for path, tensor in network.trace(images).items()}
    assert all(torch.equal(outputs[path], copies[path]) for path in outputs)
    assert torch.equal(list(outputs.values())[-1], network(images))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    """After one backward pass, no gradient of a weight is missing or zero everywhere."""
    network = build(name, seed=0).train()
    network(torch.randn(4, *network.plan.image)).square().sum().backward()
    without = [path for path, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


def test_images_of_any_size_and_channels() -> None:
    """Plans for other images, also of odd sizes, give networks for them."""
    for image in ("1,16,16", "4,33,41"):
        shape = tuple(map(int, image.split(",")))
        expected = plan("pyramidnet:depth=14,alpha=20", image=plan("resnet-20").image._make(shape), classes=3)
        assert build(expected, seed=0).eval()(torch.randn(2, *shape)).shape == (2, 3)


def test_no_classes_give_features() -> None:
    """Without a classifier, the network returns the output of the pool."""
    expected = plan("dmrnet:depth=14,join=concat", classes=0)
    assert build(expected, seed=0).eval()(torch.randn(2, 3, 32, 32)).shape == (2, 128)
    assert expected.head[-1].output.channels == 128


def test_initial_weights_follow_the_fan() -> None:
    """Standard deviations are sqrt(2/fan), where the fan is all outputs in ResNeXt and the inputs in Wide ResNet."""
    grouped = dict(build("resnext-29-8x64d", seed=0).named_modules())["stages.2.1.body.conv2"]
    wide = build("wrn-16-4", seed=0)
    assert isinstance(grouped, nn.Conv2d)
    assert grouped.weight.std().item() == pytest.approx((2 / (9 * 2048)) ** 0.5, rel=0.01)
    modules = dict(wide.named_modules())
    conv, norm = modules["stages.2.0.body.conv1"], modules["stages.2.0.body.norm1"]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.01)
    assert 0 <= norm.weight.min() < 0.1 < 0.9 < norm.weight.max() <= 1


def test_initial_weights_are_a_function_of_the_seed() -> None:
    """The same seed gives the same weights; another seed gives others."""
    first, again, other = (build("resnet-20", seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[path], again[path]) for path in first)
    assert not torch.equal(first["stem.conv.weight"], other["stem.conv.weight"])


def test_the_deepest_network_is_built_quickly() -> None:
    """ResNet-1202 with its weights is there at once."""
    with at_once(10):
        build("resnet-1202", seed=0)


def _streams(path: str, count: int) -> Iterator[str]:
    return (f"{path}.streams.{k}" for k in range(count))
