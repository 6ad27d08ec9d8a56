"""Statistics of normalisations are those of all their values at once, and a test uses them."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.evaluation.norm_statistics import averaged_statistics, batch_of, merged, moments, set_statistics
from resatlas.nets.network import Network, build


@pytest.fixture(params=["resnet:depth=8,base=2", "dmrnet:depth=8,base=2", "wide-resnet:depth=10,base=2,dropout=0.5"])
def network(request: pytest.FixtureRequest) -> Network:
    """Networks of one stream, of two, and with dropout."""
    return build(request.param, image=Shape(1, 8, 8), classes=4, seed=0)


def batches() -> Iterator[Tensor]:
    """Three batches of different sizes, means and deviations."""
    for seed, size in enumerate((6, 9, 2)):
        yield (1 + seed) * torch.randn(size, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) + seed


def inputs(network: Network) -> dict[str, list[Tensor]]:
    """A slow second opinion: all that each norm is given, each batch in training mode, without dropout."""
    seen: dict[str, list[Tensor]] = {}

    def take(path: str, _module: nn.Module, given: tuple[Tensor, ...], _output: Tensor) -> None:
        seen.setdefault(path, []).append(given[0])

    copy = build(network.plan, seed=0)
    copy.load_state_dict(network.state_dict())
    copy.train()
    for path, module in copy.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(partial(take, path))
    with torch.no_grad():
        for images in batches():
            copy(images)
    return seen


def test_they_are_mean_and_variance_of_all_values(network: Network) -> None:
    """Whatever the batches, as numpy finds them on everything a norm was given."""
    before = {path: tensor.clone() for path, tensor in network.state_dict().items()}
    found = averaged_statistics(network, batches())
    assert all(tensor.equal(before[path]) for path, tensor in network.state_dict().items())
    assert not network.training
    slow = inputs(network)
    assert found.keys() == slow.keys()
    for path, maps in slow.items():
        values = np.concatenate([each.double().transpose(0, 1).flatten(1).numpy() for each in maps], axis=1)
        assert found[path].count == values.shape[1]
        np.testing.assert_allclose(found[path].mean, values.mean(axis=1), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[path].variance, values.var(axis=1), rtol=1e-9)


def test_they_take_the_place_of_running_ones(network: Network) -> None:
    """In evaluation mode each norm then normalises by them, and nothing else of the network has changed."""
    weights = {path: tensor.clone() for path, tensor in network.named_parameters()}
    found = averaged_statistics(network, batches())
    set_statistics(network, found)
    for path, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert torch.allclose(norm.running_mean.double(), found[path].mean, rtol=1e-6)
            assert torch.allclose(norm.running_var.double(), found[path].variance, rtol=1e-6)
            assert norm.track_running_stats
    assert all(tensor.equal(weights[path]) for path, tensor in network.named_parameters())


def test_a_single_batch_is_normalised_as_in_training() -> None:
    """With its statistics in their place the test of that batch is its training pass."""
    network = build("resnet:depth=8,base=2", image=Shape(1, 8, 8), classes=4, seed=0)
    [first, *_] = batches()
    network.train()
    with torch.no_grad():
        expected = network(first)
    set_statistics(network, averaged_statistics(network, [first]))
    with torch.no_grad():
        assert torch.allclose(network(first), expected, atol=1e-5)


def test_moments_of_far_values_are_exact() -> None:
    """A mean a million deviations away does not swallow the variance."""
    values = torch.randn(7, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double() + 1e6
    both = merged(moments(values[:2]), moments(values[2:]))
    assert both.variance.item() == pytest.approx(values.var(correction=0).item(), rel=1e-6)
    assert both.mean.item() == pytest.approx(values.mean().item(), rel=1e-15)


@pytest.mark.parametrize(
    ("images", "wanted", "expected"),
    [(10, 3, 4), (10, 5, 5), (9, 4, 5), (2, 1, 2), (7, 64, 7), (3, 1, 3), (1000, 64, 64)],
)
def test_no_image_is_left_alone(images: int, wanted: int, expected: int) -> None:
    """A single image in a batch has no variance before a 1x1 map."""
    assert batch_of(images, wanted) == expected
    assert images % expected != 1


def test_one_image_and_no_norm_are_refused() -> None:
    """In words."""
    with pytest.raises(UsageError, match="2 images or more"):
        batch_of(1, 64)
    with pytest.raises(UsageError, match="no batch normalisation"):
        averaged_statistics(nn.Linear(2, 2), [])
