"""Whatever expands is a network: it is built as it was counted, and it learns."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.cost import cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.parameters import parameters
from resatlas.nets.network import build
from tests.arch.strategies import blueprints, images


@given(blueprint=blueprints(most_units=2), image=images(), classes=st.integers(0, 5))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_is_built_is_what_was_listed_and_counted(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """Paths and shapes of the parameters are the listed ones, their number the counted one, the output the plan's."""
    plan = expand(blueprint, image=image, classes=classes)
    network = build(plan, device="meta")
    built = {path: tuple(parameter.shape) for path, parameter in network.named_parameters()}
    assert built == {parameter.path: parameter.shape for parameter in parameters(plan)}
    assert sum(parameter.numel() for parameter in network.parameters()) == cost(plan).parameters
    features = plan.head[-1].output.channels
    assert network.eval()(torch.empty(2, *image, device="meta")).shape == (2, features)
    assert features == classes or classes == 0


@given(blueprint=blueprints(most_units=2), image=images(), classes=st.integers(2, 5), batch=st.integers(2, 3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_network_learns(blueprint: Blueprint, image: Shape, classes: int, batch: int) -> None:
    """One step of SGD on random images: a finite loss, a finite gradient for every parameter, finite weights after."""
    network = build(expand(blueprint, image=image, classes=classes), seed=1).train()
    sgd = torch.optim.SGD(network.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(2)
    examples = torch.randn(batch, *image, generator=generator)
    loss = F.cross_entropy(network(examples), torch.arange(batch) % classes)
    assert loss.isfinite()
    loss.backward()
    learnt = dict(network.named_parameters())
    gradients = {path: each.grad for path, each in learnt.items() if each.grad is not None}
    assert [path for path in learnt if path not in gradients or not gradients[path].isfinite().all()] == []
    expected = {path: learnt[path].detach() - 1e-3 * gradient for path, gradient in gradients.items()}
    sgd.step()
    for path, after in expected.items():
        torch.testing.assert_close(learnt[path].detach(), after)
