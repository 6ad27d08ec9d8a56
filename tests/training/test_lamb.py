"""LAMB against its formulas, parameter by parameter; its state is saved by path."""

from dataclasses import replace

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Decay, Lamb
from resatlas.training.optimizer import decay_of, kind_of, momenta, optimizer, parameters_by_kind, set_momenta
from tests.training.small import DESIGN
from tests.training.updates import RATES, gradients, update

RULE = Lamb(beta1=0.8, beta2=0.95, eps=1e-3)
RECIPE = replace(NAMED["quick"], optimizer=RULE, decay=Decay(conv=0.02, linear=0.3))


def network() -> Network:
    """The smallest network, in float64."""
    return build(DESIGN, image=Shape(1, 8, 8), classes=4, seed=0).double()


def written_out(
    weights: dict[str, torch.Tensor], decays: dict[str, float], steps: list[dict[str, torch.Tensor]]
) -> None:
    """Algorithm 2 of the paper; without weight decay the trust ratio is 1."""
    first = {path: torch.zeros_like(weight) for path, weight in weights.items()}
    second = {path: torch.zeros_like(weight) for path, weight in weights.items()}
    for t, by_path in enumerate(steps, 1):
        for path, w in weights.items():
            g = by_path[path]
            first[path] = 0.8 * first[path] + 0.2 * g
            second[path] = 0.95 * second[path] + 0.05 * g * g
            r = first[path] / (1 - 0.8**t) / (torch.sqrt(second[path] / (1 - 0.95**t)) + 1e-3)
            u = r + decays[path] * w
            length, longer = w.square().sum().sqrt(), u.square().sum().sqrt()
            trust = (length / longer).item() if decays[path] and length > 0 and longer > 0 else 1.0
            weights[path] = w - RATES[t - 1] * trust * u


def test_lamb_follows_its_formulas() -> None:
    """Four steps of all parameters at four rates; a zero weight has the trust ratio 1."""
    learning = network()
    with torch.no_grad():
        learning.get_parameter("head.linear.weight").zero_()
    weights = {path: parameter.detach().clone() for path, parameter in learning.named_parameters()}
    decays = {path: decay_of(kind, RECIPE.decay) for path, _, kind in parameters_by_kind(learning)}
    assert len(set(decays.values())) == 3
    lamb = optimizer(learning, RECIPE)
    for step in range(len(RATES)):
        update(learning, lamb, step)
    written_out(weights, decays, [gradients(learning, step) for step in range(len(RATES))])
    for path, parameter in learning.named_parameters():
        assert torch.allclose(parameter, weights[path], rtol=1e-10, atol=1e-12), path


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_lamb_continues_from_its_saved_state(steps: int) -> None:
    """With moments and number of updates set in another optimizer, the weights are bit-equal."""
    whole, broken, last = network(), network(), len(RATES)
    first, second = optimizer(whole, RECIPE), optimizer(broken, RECIPE)
    for step in range(last):
        update(whole, first, step)
        if step < steps:
            update(broken, second, step)
    kept = {path: tensor.clone() for path, tensor in momenta(broken, second).items()}
    assert len(kept) == 3 * len(list(broken.parameters())) * (steps > 0)
    third = optimizer(broken, RECIPE)
    set_momenta(broken, third, kept)
    for step in range(steps, last):
        update(broken, third, step)
    assert all(one.equal(other) for one, other in zip(whole.parameters(), broken.parameters(), strict=True))
    assert kept.keys() <= momenta(broken, third).keys()


def test_kinds_have_their_decay() -> None:
    """Convolutions, the classifier, and norms with biases are in three groups."""
    learning = network()
    groups = {
        id(member): group["weight_decay"]
        for group in optimizer(learning, RECIPE).param_groups
        for member in group["params"]
    }
    for path, module in learning.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            assert groups[id(parameter)] == decay_of(kind_of(module, name), RECIPE.decay), path
