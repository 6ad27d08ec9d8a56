"""The gradient by path length is exact: its parts add up to autograd, and each has its number of convolutions."""

from contextlib import ExitStack

import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.paths import gradients_by_length, paths
from resatlas.analysis.surgery import bodies_of, streams_of, unit_modules
from resatlas.arch.blueprint import Blueprint
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.paths import path_lengths
from resatlas.errors import DesignError
from resatlas.nets.network import Network, build
from resatlas.nets.streams import run_unit
from tests.analysis.designs import DESIGNS, network, noise
from tests.arch.strategies import blueprints, images


def autograd(net: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each image's loss by autograd."""
    leaf = inputs.clone().requires_grad_()
    [gradient] = torch.autograd.grad(F.cross_entropy(net(leaf), labels, reduction="sum"), leaf)
    return gradient


def weighted(net: Network, z: float, inputs: Tensor, labels: Tensor) -> Tensor:
    """The same gradient, multiplied by z at every counted convolution and classifier in the backward pass."""

    def scale(_module: nn.Module, gradients: tuple[Tensor, ...] | Tensor, _out: object) -> tuple[Tensor, ...]:
        return tuple(z * gradient for gradient in gradients)

    parts = [net.stem] if net.plan.stems == 1 else [*net.stems]
    parts += [net.head] if net.plan.heads == 1 else [*net.heads]
    for unit in unit_modules(net).values():
        for stream in streams_of(unit):
            parts += [stream.first, stream.merged, *bodies_of(stream)]
    counted = {layer for part in parts for layer in part.modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    with ExitStack() as stack:
        for module in counted:
            stack.callback(module.register_full_backward_hook(scale).remove)
        return autograd(net, inputs, labels)


@pytest.mark.parametrize("design", DESIGNS)
def test_the_parts_add_up_to_the_gradient(design: str) -> None:
    """They do so to 1e-10 in float64, for every family; the lengths are those of the plan."""
    net = network(design)
    batch = noise(3, net)
    parts = gradients_by_length(net, batch.images, batch.labels)
    assert sorted(parts) == sorted(path_lengths(net.plan).paths)
    whole = autograd(net, batch.images, batch.labels)
    total = torch.stack(list(parts.values())).sum(dim=0)
    assert whole.abs().max() > 1e-6
    assert (total - whole).abs().max() / whole.abs().max() < 1e-10


@pytest.mark.parametrize("design", DESIGNS)
def test_each_part_has_its_number_of_convolutions(design: str) -> None:
    """A factor z at every counted convolution multiplies the part of length L by z^L, and nothing else."""
    net = network(design)
    batch = noise(2, net)
    parts = gradients_by_length(net, batch.images, batch.labels)
    for z in (0.5, -1.25):
        expected = weighted(net, z, batch.images, batch.labels)
        total = torch.stack([z**length * part for length, part in parts.items()]).sum(dim=0)
        scale = max((z**length * part).abs().max().item() for length, part in parts.items())
        assert (total - expected).abs().max() / scale < 1e-10


@given(blueprint=blueprints(most_units=2), image=images())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_gradients_of_random_blueprints(blueprint: Blueprint, image: Shape) -> None:
    """The parts are exact for any blueprint without slices, with the factor z as above."""
    assume(blueprint.residual.merge != "cascade")
    net = build(expand(blueprint, image=image, classes=3), seed=1).double().eval()
    generator = torch.Generator().manual_seed(3)
    inputs, labels = torch.randn(1, *image, generator=generator, dtype=torch.float64), torch.tensor([1])
    parts = gradients_by_length(net, inputs, labels)
    assert sorted(parts) == sorted(path_lengths(net.plan).paths)
    for z in (1.0, 0.5):
        expected = weighted(net, z, inputs, labels)
        total = torch.stack([z**length * part for length, part in parts.items()]).sum(dim=0)
        scale = max((z**length * part).abs().max().item() for length, part in parts.items())
        assert (total - expected).abs().max() <= 1e-10 * scale


def test_slices_are_refused() -> None:
    """A path can go through several bodies of one unit, which hooks cannot tell apart."""
    net = network("res2net:depth=11,width=2,scale=4,setting=cifar,base=4")
    batch = noise(1, net)
    with pytest.raises(DesignError, match="paths through the slices of a unit share convolutions"):
        gradients_by_length(net, batch.images, batch.labels)


@pytest.mark.parametrize("design", DESIGNS)
def test_the_parts_of_a_network_compute_its_output(design: str) -> None:
    """Stem, units and head one after another give the output of the network."""
    net = network(design)
    batch = noise(2, net)
    streams = net.begin(batch.images)
    for unit in unit_modules(net).values():
        streams = run_unit(unit, streams)
    assert torch.equal(net.end(streams), net(batch.images))


def test_rows_have_counts_weights_and_gradients() -> None:
    """Shares add up to 1; counts and weights differ only in merge-and-run networks."""
    for design, equal in (("dmrnet:depth=14,base=4", False), ("resnet:depth=14,base=4", True)):
        net = network(design)
        batch = noise(4, net)
        rows = paths(net, batch.images, batch.labels)
        for name in ("share_of_paths", "share_of_weight", "share_of_gradient"):
            assert sum(getattr(row, name) for row in rows) == pytest.approx(1)
        assert all(row.share_of_paths == pytest.approx(row.share_of_weight) for row in rows) == equal
        norm = autograd(net, batch.images, batch.labels).norm().item() / 2
        for row in rows:
            assert row.share_of_gradient * norm == pytest.approx(row.gradient_norm * row.cosine_to_gradient)
        assert [row.length for row in rows] == sorted(row.length for row in rows)


def test_a_plain_network_has_one_part() -> None:
    """Its only path has the whole gradient."""
    net = network("plain:depth=14,base=4")
    batch = noise(2, net)
    [row] = paths(net, batch.images, batch.labels)
    assert (row.length, row.paths) == (14, 1)
    assert (row.share_of_gradient, row.cosine_to_gradient) == (pytest.approx(1), pytest.approx(1))


def test_the_network_is_unchanged() -> None:
    """Parameters require gradients again, have none, and no hook remains."""
    net = network(DESIGNS[0])
    batch = noise(2, net)
    gradients_by_length(net, batch.images, batch.labels)
    assert all(weight.requires_grad and weight.grad is None for weight in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())
