"""The average of weights against its closed form, in float64."""

from fractions import Fraction

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build
from resatlas.recipes.regularisers import Ema
from resatlas.training.average import average_of, follow
from tests.training.small import DESIGN

STEPS = 9


def network() -> Network:
    """The smallest network, in float64."""
    return build(DESIGN, image=Shape(1, 8, 8), classes=4, seed=0).double()


def flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """All floating-point values in one vector."""
    return torch.cat([tensor.flatten() for tensor in state.values() if tensor.is_floating_point()])


def random_walk(average: Network, learning: Network, ema: Ema) -> list[torch.Tensor]:
    """The weights and statistics after each random step, with the average updated."""
    draw, history = torch.Generator().manual_seed(0), list[torch.Tensor]()
    for step in range(STEPS):
        for tensor in learning.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=draw, dtype=tensor.dtype))
            else:
                tensor.add_(1)
        history.append(flat(learning.state_dict()))
        follow(average, learning, ema, step=step, progress=Fraction(step, STEPS))
    return history


@pytest.mark.parametrize(
    ("ema", "used"),
    [
        (Ema(decay=0.9), range(STEPS)),
        (Ema(decay=0.5, every=4), (0, 4, 8)),
        (Ema(decay=0.9, begins=Fraction(1, 3)), range(2, STEPS)),
        (Ema(decay=0.0), range(STEPS)),
    ],
    ids=str,
)
def test_an_average_is_its_closed_form(ema: Ema, used: range | tuple[int, ...]) -> None:
    """decay^n·first + the sum of (1 - decay)·decay^(n - k)·weights k, over the steps that update it."""
    learning = network()
    average = average_of(learning)
    history = random_walk(average, learning, ema)
    first, *others = (history[step] for step in used)
    n = len(others)
    expected = ema.decay**n * first
    for k, weights in enumerate(others, 1):
        expected = expected + (1 - ema.decay) * ema.decay ** (n - k) * weights
    assert torch.allclose(flat(average.state_dict()), expected, rtol=1e-12, atol=1e-12)
    counts = [count.item() for name, count in average.state_dict().items() if name.endswith("num_batches_tracked")]
    assert set(counts) == {used[-1] + 1}


def test_an_average_has_no_gradients() -> None:
    """It has its own tensors, requires no gradient, and is in evaluation mode."""
    learning = network()
    average = average_of(learning)
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in learning.parameters())
    own = {tensor.data_ptr() for tensor in average.state_dict().values()}
    assert not own & {tensor.data_ptr() for tensor in learning.state_dict().values()}
