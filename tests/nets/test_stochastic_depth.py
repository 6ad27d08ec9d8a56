"""Units that lose their residual: how often, by what they are scaled, and that nothing else changes."""

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build, lose_residuals
from resatlas.nets.unit import Unit

IMAGES = 3000

DESIGNS = ("resnet:depth=14,base=2", "preact-resnet:depth=14,base=2", "dmrnet:depth=14,base=2")


def network(design: str) -> Network:
    """A small member of a family."""
    return build(design, image=Shape(1, 8, 8), classes=4, seed=0)


def units(network: Network) -> list[nn.Module]:
    """Its units, in order."""
    return [unit for stage in network.stages for unit in stage.children()]


def streams(unit: nn.Module) -> list[Unit]:
    """The streams of a unit; one of its own if there is no other."""
    return [each for each in unit.modules() if isinstance(each, Unit)]


def given(unit: Unit, n: int) -> Tensor:
    """Maps that a unit takes."""
    conv = next(each for each in unit.modules() if isinstance(each, nn.Conv2d))
    return torch.rand(n, conv.in_channels, 6, 6)


@pytest.mark.parametrize("design", DESIGNS)
def test_rates_rise_in_a_line(design: str) -> None:
    """Unit l of L loses its residual at l/L of the rate, each of its streams alike."""
    built = network(design)
    lose_residuals(built, Fraction(3, 10))
    found = units(built)
    for k, unit in enumerate(found, 1):
        assert [each.loses for each in streams(unit)] == [pytest.approx(0.3 * k / len(found))] * len(streams(unit))


@pytest.mark.parametrize("design", DESIGNS)
def test_residuals_are_lost_image_by_image(design: str) -> None:
    """As often as the rate says; what stays is divided by how likely it stays, so that the mean is what it was."""
    unit = next(each for each in streams(units(network(design))[0]) if each.shortcut is not None)
    x = given(unit, 1)
    unit.eval()
    residual, shortcut = unit.divide(x)
    assert shortcut is not None
    unit.loses = 0.4
    assert unit.divide(x)[0].equal(residual)
    many = x.expand(IMAGES, -1, -1, -1)
    for module in unit.modules():
        module.training = module is unit  # the norms as in the test, so that every image has one residual
    torch.manual_seed(0)
    found, same = unit.divide(many)
    assert same is not None
    assert torch.allclose(same, shortcut.expand_as(same))
    lost = found.flatten(1).abs().amax(dim=1) == 0
    assert torch.allclose(found[~lost], (residual / 0.6).expand_as(found[~lost]), rtol=1e-4, atol=1e-6)
    assert abs(lost.float().mean() - 0.4) < 4 * math.sqrt(0.24 / IMAGES)


def test_streams_lose_their_residuals_apart() -> None:
    """Two streams of one unit do not lose theirs for the same images."""
    built = network("dmrnet:depth=14,base=2").train()
    lose_residuals(built, Fraction(1, 2))
    last = streams(units(built)[-2])
    assert len(last) == 2
    x = given(last[0], 400)
    torch.manual_seed(0)
    lost = [each.divide(x)[0].flatten(1).abs().amax(dim=1) == 0 for each in last]
    both = (lost[0] & lost[1]).float().mean().item()
    alone = [each.float().mean().item() for each in lost]
    assert all(0.1 < each < 0.9 for each in alone)
    assert abs(both - alone[0] * alone[1]) < 0.1


@pytest.mark.parametrize("design", DESIGNS)
def test_nothing_else_changes(design: str) -> None:
    """The same keys, the same answers in the test, and the same answers in training at a rate of 0."""
    images = torch.rand(4, 1, 8, 8)
    plain, losing = network(design), network(design)
    lose_residuals(losing, Fraction(1, 2))
    assert plain.state_dict().keys() == losing.state_dict().keys()
    assert plain.eval()(images).equal(losing.eval()(images))
    assert not plain.train()(images).equal(losing.train()(images))
    lose_residuals(losing, Fraction(0))
    losing.load_state_dict(plain.state_dict())
    assert plain.train()(images).equal(losing.train()(images))


def test_what_nothing_else_goes_through_is_kept() -> None:
    """A plain network has no shortcut, and would lose the image."""
    built = network("plain:depth=14,base=2").train()
    images = torch.rand(4, 1, 8, 8)
    before = built(images)
    lose_residuals(built, Fraction(9, 10))
    torch.manual_seed(0)
    assert built(images).equal(before)
