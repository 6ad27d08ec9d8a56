"""Matrices of shortcuts: exact, each sharing out every shortcut as a whole, and what a merge makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resatlas.arch.streams import RULES, SKIPS, Adds, Mixing, averaged, mixing


@given(adds=st.sampled_from([*RULES]), count=st.integers(1, 64))
def test_rows_and_columns_add_up_to_one(adds: Adds, count: int):
    """No rule makes more or less of the shortcuts together, which sums of all streams rely on."""
    matrix = mixing(adds, count)
    assert {sum(row) for row in matrix.rows} == {matrix.over}
    assert {sum(column) for column in zip(*matrix.rows, strict=True)} == {matrix.over}
    assert averaged(matrix)[:2] == (((1,) * count,), count)


def test_matrices_of_three_streams():
    """As the descriptions of the rules say."""
    assert mixing("identity", 3) == mixing("own", 3) == Mixing(((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    assert mixing("swap", 3) == Mixing(((0, 1, 0), (0, 0, 1), (1, 0, 0)))
    assert mixing("mean", 3) == Mixing(((1, 1, 1),) * 3, over=3)
    assert mixing("projector", 3) == Mixing(((1, 1, 1),) * 3, over=3, channels="projected")
    assert set(RULES) == {"own", *SKIPS}


@pytest.mark.parametrize("adds", RULES)
def test_one_stream_keeps_its_shortcut(adds: Adds):
    """For every rule."""
    assert mixing(adds, 1)[:2] == mixing("own", 1)[:2]


def test_a_mean_of_rows_is_in_lowest_terms():
    """Also of shares that no rule has yet."""
    assert averaged(Mixing(((3, 1), (1, 3)), over=4)) == Mixing(((1, 1),), over=2)
