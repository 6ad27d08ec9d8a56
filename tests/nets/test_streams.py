"""Mixed shortcuts are the product of a matrix of fractions and the shortcuts."""

import pytest
import torch

from resatlas.arch.streams import RULES, Adds, Mixing, mixing
from resatlas.nets.streams import mixed


@pytest.mark.parametrize("adds", RULES)
def test_a_rule_is_a_product(adds: Adds):
    """Each rule is M·x for three streams."""
    check(mixing(adds, 3))


def test_any_matrix_is_a_product():
    """Also a matrix that no rule has."""
    check(Mixing(((3, 1, 0), (0, 2, 2), (1, 1, 2)), over=4))


def test_a_mean_is_computed_once_and_a_single_shortcut_is_not_copied():
    """Equal rows share one tensor; a row with a single 1 returns the shortcut itself."""
    streams = [torch.ones(1), torch.zeros(1)]
    one, other = mixed(mixing("mean", 2), streams)
    assert one is other
    one, other = mixed(mixing("swap", 2), streams)
    assert one is streams[1]
    assert other is streams[0]


def check(matrix: Mixing) -> None:
    """Compare with a product of torch."""
    streams = torch.randn(3, 2, 4, 5, 5, dtype=torch.float64)
    expected = torch.einsum("kj,jnchw->knchw", torch.tensor(matrix.rows).double() / matrix.over, streams)
    torch.testing.assert_close(torch.stack(mixed(matrix, list(streams))), expected)
