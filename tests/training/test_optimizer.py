"""Weight decay depends on the kind of parameter, and momenta are saved by path."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Decay, Lamb, Muon, Sgd
from resatlas.training.optimizer import momenta, optimizer, parameters_by_kind, set_momenta
from tests.training.small import DESIGN, LAYOUTS, different, fresh, stepped

GOLDEN = Path(__file__).parents[1] / "golden" / "decay"

QUICK = NAMED["quick"]


def decays(design: str, decay: Decay) -> dict[str, float]:
    """The weight decay of the optimizer for each parameter, by path."""
    network = build(design, image=Shape(1, 8, 8), classes=4, seed=0)
    groups = optimizer(network, replace(QUICK, decay=decay)).param_groups
    rates = {parameter: group["weight_decay"] for group in groups for parameter in group["params"]}
    return {path: rates[parameter] for path, parameter in network.named_parameters()}


@pytest.mark.parametrize("design", [DESIGN, "dmrnet:depth=8,base=2"])
def test_weight_decay_reads_as_its_golden_text(design: str, golden: Callable[[Path, str], None]) -> None:
    """One line per parameter: its path and its weight decay in the quick recipe."""
    lines = (f"{path}  decay {decay:g}" for path, decay in decays(design, QUICK.decay).items())
    golden(GOLDEN / f"{design.replace(':', '_').replace('=', '_').replace(',', '_')}-quick.txt", "\n".join(lines))


def test_each_kind_has_its_own_decay() -> None:
    """Convolutions, classifier, norms (scale and shift) and biases have different rates."""
    rates = decays(DESIGN, Decay(conv=0.1, linear=0.2, norm=0.3, bias=0.4))
    assert len(rates) == 7 + 2 * 7 + 2
    for path, rate in rates.items():
        if path.startswith("head."):
            assert rate == (0.4 if path.endswith("bias") else 0.2)
        else:
            assert rate == (0.3 if "norm" in path else 0.1)


@pytest.mark.parametrize("rule", [Sgd(), Lamb(), Muon()], ids=["sgd", "lamb", "muon"])
def test_every_parameter_is_in_one_group(rule: Sgd | Lamb | Muon) -> None:
    """No parameter is missing or in two groups, and kinds are listed by the paths of the network."""
    network = build(DESIGN, image=Shape(1, 8, 8), classes=4, seed=0)
    parameters = [
        parameter
        for group in optimizer(network, replace(QUICK, optimizer=rule)).param_groups
        for parameter in group["params"]
    ]
    assert len(parameters) == len({id(parameter) for parameter in parameters}) == len(list(network.parameters()))
    assert [(path, id(parameter)) for path, parameter, _ in parameters_by_kind(network)] == [
        (path, id(parameter)) for path, parameter in network.named_parameters()
    ]


@pytest.mark.parametrize(
    ("sgd", "nesterov"),
    [
        (Sgd(momentum=0.9, form="nesterov"), True),
        (Sgd(momentum=0.9, form="plain"), False),
        (Sgd(momentum=0.0, form="nesterov"), False),
    ],
)
def test_momentum_is_that_of_the_recipe(sgd: Sgd, nesterov: bool) -> None:
    """Nesterov's form needs a momentum; without one, SGD is plain."""
    network = build(DESIGN, image=Shape(1, 8, 8), classes=4, seed=0)
    for group in optimizer(network, replace(QUICK, optimizer=sgd)).param_groups:
        assert (group["momentum"], group["nesterov"]) == (sgd.momentum, nesterov)


def test_there_is_no_momentum_before_the_first_step() -> None:
    """A new optimizer has no state to save."""
    state = fresh()
    assert momenta(state.network, state.optimizer) == {}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_momenta_come_back_in_the_layout_of_their_parameters(layout: torch.memory_format) -> None:
    """Set from contiguous copies, as from a file, every buffer has the old values and strides."""
    state, other = stepped(3, layout), fresh(layout)
    before = momenta(state.network, state.optimizer)
    assert before.keys() == dict(state.network.named_parameters()).keys()
    set_momenta(other.network, other.optimizer, {path: buffer.contiguous() for path, buffer in before.items()})
    after = momenta(other.network, other.optimizer)
    assert different(before, after) == []
    assert {path: buffer.stride() for path, buffer in after.items()} == {
        path: buffer.stride() for path, buffer in before.items()
    }
    assert all(buffer.abs().sum() > 0 for buffer in after.values())
