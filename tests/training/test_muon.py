"""Muon against its formulas, kernel by kernel; its state is saved by path."""

from dataclasses import replace

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Decay, Muon
from resatlas.training.muon import orthogonal
from resatlas.training.optimizer import decay_of, momenta, optimizer, parameters_by_kind, set_momenta
from tests.training.updates import RATES, gradients, update

RECIPE = replace(NAMED["quick"], optimizer=Muon(momentum=0.8, ratio=0.3), decay=Decay(conv=0.02, linear=0.3))
DESIGNS = ("resnet:depth=8,base=2", "resnext:depth=11,cardinality=2,width=16,base=8", "dmrnet:depth=8,base=2")


def network(design: str) -> Network:
    """A small network, in float64."""
    return build(design, image=Shape(1, 8, 8), classes=4, seed=0).double()


def rounded(matrix: torch.Tensor) -> torch.Tensor:
    """The direction of one matrix: each singular value after five applications of the source's polynomial."""
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    values /= values.square().sum().sqrt()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return u @ torch.diag(values) @ v


@pytest.mark.parametrize("design", DESIGNS)
def test_muon_follows_its_formulas(design: str) -> None:
    """Four steps of all parameters at four rates: kernels by their singular values, other parameters by SGD."""
    learning = network(design)
    weights = {path: parameter.detach().clone() for path, parameter in learning.named_parameters()}
    velocity = {path: torch.zeros_like(weight) for path, weight in weights.items()}
    kinds = {path: kind for path, _, kind in parameters_by_kind(learning)}
    muon = optimizer(learning, RECIPE)
    for step, rate in enumerate(RATES):
        update(learning, muon, step)
        for path, g in gradients(learning, step).items():
            w, decay = weights[path], decay_of(kinds[path], RECIPE.decay)
            if kinds[path] == "conv":
                velocity[path] = 0.8 * velocity[path] + g
                groups = int(learning.get_submodule(path.rpartition(".")[0]).groups)  # type: ignore[arg-type]
                turned = [
                    max(1.0, len(part) / part[0].numel()) ** 0.5 * rounded(part.flatten(1)).view(part.shape)
                    for part in (g + 0.8 * velocity[path]).chunk(groups)
                ]
                weights[path] = w - rate * (0.3 * torch.cat(turned) + decay * w)
            else:
                g = g + decay * w
                velocity[path] = 0.8 * velocity[path] + g
                weights[path] = w - rate * (g + 0.8 * velocity[path])
    for path, parameter in learning.named_parameters():
        assert torch.allclose(parameter, weights[path], rtol=1e-9, atol=1e-11), path


@pytest.mark.parametrize("size", [1e9, 1.0, 1e-6])
@pytest.mark.parametrize("shape", [(3, 16, 144), (2, 144, 16), (1, 16, 27)])
def test_directions_are_nearly_orthogonal(shape: tuple[int, int, int], size: float) -> None:
    """All singular values are near 1, for matrices of any norm."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * size
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.68
    assert values.max() < 1.21


@pytest.mark.parametrize("size", [1e-12, 1e-24, 1e-36, 1e-44, 0.0])
def test_tiny_matrices_have_no_direction(size: float) -> None:
    """Steps are short, and finite also if squares underflow."""
    directions = orthogonal(torch.full((1, 16, 144), size))
    assert directions.isfinite().all()
    assert directions.abs().max() < 0.01


def test_a_kernel_with_zero_gradient_converges() -> None:
    """Its velocity decays through the whole range of float32; a frozen kernel does not change."""
    learning = build(DESIGNS[0], image=Shape(1, 8, 8), classes=4, seed=0)
    muon = optimizer(learning, RECIPE)
    update(learning, muon, 0)
    frozen = learning.get_parameter("stem.conv.weight").requires_grad_(False)
    frozen.grad, stood = None, frozen.clone()
    for step in range(1000):
        rest = {path: parameter.detach().clone() for path, parameter in learning.named_parameters()}
        for parameter in learning.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        for group in muon.param_groups:
            group.update(lr=0.1, weight_decay=0.0)
        muon.step()
        assert all(parameter.isfinite().all() for parameter in learning.parameters()), step
    assert all(parameter.equal(rest[path]) for path, parameter in learning.named_parameters())
    assert frozen.equal(stood)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_muon_continues_from_its_saved_state(steps: int) -> None:
    """With velocities set in another optimizer, the weights are bit-equal."""
    whole, broken = network(DESIGNS[1]), network(DESIGNS[1])
    first, second = optimizer(whole, RECIPE), optimizer(broken, RECIPE)
    for step in range(len(RATES)):
        update(whole, first, step)
        if step < steps:
            update(broken, second, step)
    kept = {path: tensor.clone() for path, tensor in momenta(broken, second).items()}
    assert len(kept) == len(list(broken.parameters())) * (steps > 0)
    third = optimizer(broken, RECIPE)
    set_momenta(broken, third, kept)
    for step in range(steps, len(RATES)):
        update(broken, third, step)
    assert all(one.equal(other) for one, other in zip(whole.parameters(), broken.parameters(), strict=True))
