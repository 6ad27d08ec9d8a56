"""Linear CKA: its invariances, and a slow reference."""

import re

import pytest
import torch
from torch import Tensor

from resatlas.analysis.similarity import linear_cka, similarity
from resatlas.nets.streams import side_by_side
from tests.analysis.designs import network, noise


def features(n: int, d: int, *, seed: int) -> Tensor:
    """Random features, not centred."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64).exp()


def hsic(k: Tensor, m: Tensor) -> float:
    """The biased estimate of HSIC from two kernels, term by term: 1/n² Σ k m + 1/n⁴ Σ k Σ m - 2/n³ Σ_ijq k_ij m_iq."""
    n = len(k)
    first = sum(k[i, j] * m[i, j] for i in range(n) for j in range(n)) / n**2
    second = k.sum() * m.sum() / n**4
    third = sum(k[i, j] * m[i, q] for i in range(n) for j in range(n) for q in range(n)) * 2 / n**3
    return float(first + second - third)


def keys(traced: dict[str, Tensor], path: str) -> list[str]:
    """The keys of a unit's output in a trace."""
    return [path] if path in traced else [key for key in traced if re.fullmatch(rf"{path}\.streams\.\d", key)]


def test_the_slow_reference_agrees() -> None:
    """CKA is the normalised HSIC of linear kernels."""
    x, y = features(7, 5, seed=1), features(7, 9, seed=2)
    k, m = x @ x.T, y @ y.T
    slow = hsic(k, m) / (hsic(k, k) * hsic(m, m)) ** 0.5
    assert linear_cka(x, y) == pytest.approx(slow, rel=1e-10)
    assert 0.05 < slow < 0.95


def test_rotations_shifts_and_scales_change_nothing() -> None:
    """CKA is invariant to rotation, shift and scale, and symmetric; other linear maps change it."""
    x, y = features(20, 6, seed=1), features(20, 4, seed=2)
    turn, _ = torch.linalg.qr(features(6, 6, seed=3))
    assert linear_cka(x, x) == pytest.approx(1, abs=1e-12)
    assert linear_cka(x, 3.5 * x @ turn + features(1, 6, seed=4)) == pytest.approx(1, abs=1e-12)
    assert linear_cka(x @ turn, y) == pytest.approx(linear_cka(x, y), abs=1e-12)
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y), abs=1e-12)
    assert linear_cka(x @ features(6, 6, seed=5), x) < 0.999


def test_constant_features_have_similarity_zero() -> None:
    """Features that are equal for all images have CKA 0 with any others."""
    assert linear_cka(torch.ones(5, 3, dtype=torch.float64), features(5, 3, seed=1)) == 0


@pytest.mark.parametrize("design", ["resnet:depth=14,base=4", "dmrnet:depth=14,base=4,streams=3"])
def test_units_of_one_network(design: str) -> None:
    """The matrix has 1 on its diagonal, is symmetric, and equals CKA of the traced outputs."""
    net = network(design)
    batch = noise(9, net)
    result = similarity(net, net, (batch.images, batch.images))
    values = torch.tensor(result.values, dtype=torch.float64)
    paths = [path for path, _ in net.plan.units]
    assert result.rows == result.columns == tuple(paths)
    torch.testing.assert_close(values.diagonal(), torch.ones(len(paths), dtype=torch.float64))
    torch.testing.assert_close(values, values.T)
    with torch.no_grad():
        traced = net.trace(batch.images)
    outputs = [side_by_side(tuple(traced[key] for key in keys(traced, path))).flatten(1) for path in paths[:2]]
    assert result.values[0][1] == pytest.approx(linear_cka(outputs[0], outputs[1]))


def test_units_of_two_networks() -> None:
    """Rows are units of the first network, columns those of the second; networks of other weights differ."""
    one, other = network("resnet:depth=14,base=4"), network("resnet:depth=20,base=4", seed=3)
    batch = noise(9, one)
    result = similarity(one, other, (batch.images, batch.images))
    assert (len(result.rows), len(result.columns)) == (6, 9)
    assert all(0 <= value < 1 for row in result.values for value in row)
    swapped = similarity(other, one, (batch.images, batch.images))
    torch.testing.assert_close(torch.tensor(swapped.values).T, torch.tensor(result.values))
