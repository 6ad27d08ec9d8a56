"""Stochastic depth: the rate of dropped residuals, the scale of the others, and no other change."""

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build, set_stochastic_depth
from resatlas.nets.unit import Unit

IMAGES = 3000

DESIGNS = ("resnet:depth=14,base=2", "preact-resnet:depth=14,base=2", "dmrnet:depth=14,base=2")


def network(design: str) -> Network:
    """A small network of a family."""
    return build(design, image=Shape(1, 8, 8), classes=4, seed=0)


def units(network: Network) -> list[nn.Module]:
    """The units in order."""
    return [unit for stage in network.stages for unit in stage.children()]


def streams(unit: nn.Module) -> list[Unit]:
    """The streams of a unit; a unit of one stream itself."""
    return [module for module in unit.modules() if isinstance(module, Unit)]


def inputs(unit: Unit, n: int) -> Tensor:
    """Random inputs of a unit."""
    conv = next(module for module in unit.modules() if isinstance(module, nn.Conv2d))
    return torch.rand(n, conv.in_channels, 6, 6)


@pytest.mark.parametrize("design", DESIGNS)
def test_rates_rise_linearly(design: str) -> None:
    """Unit l of L has l/L of the rate, in each of its streams."""
    built = network(design)
    set_stochastic_depth(built, Fraction(3, 10))
    every = units(built)
    for k, unit in enumerate(every, 1):
        rate = pytest.approx(0.3 * k / len(every))
        assert [stream.drop_rate for stream in streams(unit)] == [rate] * len(streams(unit))


@pytest.mark.parametrize("design", DESIGNS)
def test_residuals_are_dropped_image_by_image(design: str) -> None:
    """The share of dropped residuals is the rate; the others are scaled so that the mean does not change."""
    unit = next(stream for stream in streams(units(network(design))[0]) if stream.shortcut is not None)
    x = inputs(unit, 1)
    unit.eval()
    residual, shortcut = unit.divide(x)
    assert shortcut is not None
    unit.drop_rate = 0.4
    assert unit.divide(x)[0].equal(residual)
    many = x.expand(IMAGES, -1, -1, -1)
    for module in unit.modules():
        module.training = module is unit  # norms in evaluation mode, so that all residuals are equal
    torch.manual_seed(0)
    residuals, shortcuts = unit.divide(many)
    assert shortcuts is not None
    assert torch.allclose(shortcuts, shortcut.expand_as(shortcuts))
    dropped = residuals.flatten(1).abs().amax(dim=1) == 0
    assert torch.allclose(residuals[~dropped], (residual / 0.6).expand_as(residuals[~dropped]), rtol=1e-4, atol=1e-6)
    assert abs(dropped.float().mean() - 0.4) < 4 * math.sqrt(0.24 / IMAGES)


def test_streams_drop_their_residuals_independently() -> None:
    """Two streams of one unit drop theirs for different images."""
    built = network("dmrnet:depth=14,base=2").train()
    set_stochastic_depth(built, Fraction(1, 2))
    last = streams(units(built)[-2])
    assert len(last) == 2
    x = inputs(last[0], 400)
    torch.manual_seed(0)
    dropped = [stream.divide(x)[0].flatten(1).abs().amax(dim=1) == 0 for stream in last]
    both = (dropped[0] & dropped[1]).float().mean().item()
    rates = [mask.float().mean().item() for mask in dropped]
    assert all(0.1 < rate < 0.9 for rate in rates)
    assert abs(both - rates[0] * rates[1]) < 0.1


@pytest.mark.parametrize("design", DESIGNS)
def test_nothing_else_changes(design: str) -> None:
    """Keys and logits in evaluation mode are the same; at rate 0, so are the logits in training mode."""
    images = torch.rand(4, 1, 8, 8)
    plain, dropping = network(design), network(design)
    set_stochastic_depth(dropping, Fraction(1, 2))
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    assert plain.eval()(images).equal(dropping.eval()(images))
    assert not plain.train()(images).equal(dropping.train()(images))
    set_stochastic_depth(dropping, Fraction(0))
    dropping.load_state_dict(plain.state_dict())
    assert plain.train()(images).equal(dropping.train()(images))


def test_residuals_without_a_shortcut_are_kept() -> None:
    """In a plain network nothing would remain of the image."""
    built = network("plain:depth=14,base=2").train()
    images = torch.rand(4, 1, 8, 8)
    before = built(images)
    set_stochastic_depth(built, Fraction(9, 10))
    torch.manual_seed(0)
    assert built(images).equal(before)
