"""The operations of a page are the network, proved in float64, for every family and for random blueprints."""

import pytest
import torch
from hypothesis import given, settings

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.exporting.page.checking import logits_of
from resatlas.exporting.page.program import Apply, Program, program_of
from resatlas.inference.folding import Affine
from resatlas.nets.network import Network, build
from tests.arch.strategies import blueprints, images
from tests.exporting.page.networks import IMAGENET, PAGES, SMALL, network
from tests.inference.test_inference import pictures, trained


def difference(net: Network, program: Program) -> float:
    """The largest difference of the logits in float64, as a share of the largest."""
    batch = pictures(net.plan.image).double()
    with torch.no_grad():
        expected = net.double()(batch)
        return float((logits_of(program, batch) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("design", PAGES)
def test_the_operations_are_the_network(design: str) -> None:
    """The logits agree up to rounding, and every map has the shape that the program says."""
    net = network(design)
    program = program_of(net)
    assert difference(net, program) < 1e-10
    assert program.shapes[0] == SMALL
    assert program.shapes[-1] == Shape(5, 1, 1)


@pytest.mark.parametrize("design", IMAGENET)
def test_a_stem_with_a_pool_is_the_network(design: str) -> None:
    """Networks for photographs too, at a side that no stride divides."""
    net = network(design, Shape(3, 67, 71))
    assert difference(net, program_of(net)) < 1e-10


@given(blueprint=blueprints(most_units=2), image=images())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_blueprint_is_the_network(blueprint: Blueprint, image: Shape) -> None:
    """Random shortcuts, gates, orders, widths and streams give the same logits."""
    net = trained(build(expand(blueprint, image=image, classes=3), seed=1))
    assert difference(net, program_of(net)) < 1e-10


def test_norms_that_cannot_be_folded_stay() -> None:
    """The first norm of a pyramidal unit stands before a padded convolution, so it remains an operation."""
    kept = [step for step in steps(network("pyramidnet-8-a12")) if isinstance(step, Affine)]
    assert len(kept) == 4  # one for each unit, and that of the head
    assert not [step for step in steps(network("resnet-8")) if isinstance(step, Affine)]


def steps(net: Network) -> list[object]:
    """The steps of a program."""
    return [operation.step for operation in program_of(net).operations if isinstance(operation, Apply)]
