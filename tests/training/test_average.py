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
    """All numbers but the counts, in one row."""
    return torch.cat([each.flatten() for each in state.values() if each.is_floating_point()])


def walked(average: Network, learning: Network, ema: Ema) -> list[torch.Tensor]:
    """The weights and statistics that each step left, while the average heard of them."""
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
    ("ema", "heard"),
    [
        (Ema(decay=0.9), range(STEPS)),
        (Ema(decay=0.5, every=4), (0, 4, 8)),
        (Ema(decay=0.9, begins=Fraction(1, 3)), range(2, STEPS)),
        (Ema(decay=0.0), range(STEPS)),
    ],
    ids=str,
)
def test_an_average_is_its_closed_form(ema: Ema, heard: range | tuple[int, ...]) -> None:
    """decay^n·first + the sum of (1 - decay)·decay^(n - k)·weights k, of those steps of which it hears."""
    learning = network()
    average = average_of(learning)
    history = walked(average, learning, ema)
    first, *others = (history[step] for step in heard)
    n = len(others)
    expected = ema.decay**n * first
    for k, weights in enumerate(others, 1):
        expected = expected + (1 - ema.decay) * ema.decay ** (n - k) * weights
    assert torch.allclose(flat(average.state_dict()), expected, rtol=1e-12, atol=1e-12)
    counts = [each.item() for name, each in average.state_dict().items() if name.endswith("num_batches_tracked")]
    assert set(counts) == {heard[-1] + 1}


def test_an_average_learns_nothing_by_itself() -> None:
    """It has tensors of its own, wants no gradient, and is as in the test."""
    learning = network()
    average = average_of(learning)
    assert not average.training
    assert not any(each.requires_grad for each in average.parameters())
    assert all(each.requires_grad for each in learning.parameters())
    own = {each.data_ptr() for each in average.state_dict().values()}
    assert not own & {each.data_ptr() for each in learning.state_dict().values()}
