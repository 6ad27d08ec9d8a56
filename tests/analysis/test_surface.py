"""The loss surface: the network is its middle, and steps are scaled by the filter norms."""

import pytest
import torch
from torch.nn import functional as F

from resatlas.analysis.surface import direction, surface
from resatlas.errors import UsageError
from tests.analysis.designs import network, noise


def test_each_filter_moves_by_its_own_norm() -> None:
    """Normalisation parameters and biases do not move; the direction depends only on the seed."""
    net = network("resnet:depth=8,base=4")
    weights = dict(net.named_parameters())
    steps = direction(net, seed=1)
    assert set(steps) == {path for path, weight in weights.items() if weight.dim() > 1}
    for path, step in steps.items():
        torch.testing.assert_close(step.flatten(1).norm(dim=1), weights[path].detach().flatten(1).norm(dim=1))
        assert not torch.allclose(step, weights[path])
    assert all(step.equal(direction(net, seed=1)[path]) for path, step in steps.items())
    assert not all(step.equal(direction(net, seed=2)[path]) for path, step in steps.items())


def test_the_middle_is_the_network_and_the_rest_is_computed_by_hand() -> None:
    """The loss at (0, 0) is bit-equal; another point is computed by hand; the network does not change."""
    net = network("dmrnet:depth=8,base=4")
    batches = [noise(6, net, seed=4), noise(5, net, seed=5)]
    images, labels = torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    with torch.no_grad():
        expected = F.cross_entropy(torch.cat([net(b.images) for b in batches]), labels).item()
    directions = direction(net, seed=1), direction(net, seed=2)
    rows = {(row.first, row.second): row for row in surface(net, batches, directions, points=3, span=0.5)}
    assert len(rows) == 9
    assert rows[0, 0].loss == expected
    assert all(before[path].equal(tensor) for path, tensor in net.state_dict().items())
    other = network("dmrnet:depth=8,base=4")
    with torch.no_grad():
        for path, weight in other.named_parameters():
            if path in directions[0]:
                weight.copy_(weight - 0.5 * directions[0][path] + 0.5 * directions[1][path])
        assert rows[-0.5, 0.5].loss == pytest.approx(F.cross_entropy(other(images), labels).item(), rel=1e-10)
        wrong = (other(images).argmax(dim=1) != labels).double().mean().item()
    assert rows[-0.5, 0.5].error_percent == pytest.approx(100 * wrong)


def test_a_surface_has_a_middle() -> None:
    """An even number of points is refused."""
    net = network("resnet:depth=8,base=4")
    with pytest.raises(
        UsageError, match="points must be an odd number from 1, so that the middle is the network; got 4"
    ):
        next(surface(net, [], ({}, {}), points=4))
