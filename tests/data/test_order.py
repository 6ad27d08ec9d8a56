"""Seeds and orders are pure functions, and never change."""

from hypothesis import given
from hypothesis import strategies as st

from resatlas.data.order import batch_positions, derive, occasion, order


def test_derived_seeds_never_change() -> None:
    """These numbers are those of the first version."""
    assert derive(0) == 7210762507766007076
    assert derive(0, "order", 3) == 386106667988085106
    assert derive(1, "crop", 0) == 4943391663718183545


def test_orders_never_change() -> None:
    """These permutations are those of the first version."""
    assert order(0, 0, 8).tolist() == [7, 1, 3, 0, 6, 2, 5, 4]
    assert order(7, 2, 8).tolist() == [1, 0, 4, 2, 3, 7, 5, 6]


@given(st.integers(), st.lists(st.text() | st.integers()))
def test_a_derived_seed_has_63_bits(seed: int, words: list[str | int]) -> None:
    """Every derived seed fits a signed 64-bit integer."""
    assert 0 <= derive(seed, *words) < 2**63


def test_words_are_kept_apart() -> None:
    """Neither joining words nor writing a number as text gives the same seed."""
    assert len({derive(0, "ab"), derive(0, "a", "b"), derive(0, "1"), derive(0, 1), derive(0), derive(0, 0)}) == 6


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 300))
def test_an_order_is_a_permutation_that_comes_again(seed: int, epoch: int, n: int) -> None:
    """It contains each index once, and a second call gives the same."""
    shown = order(seed, epoch, n)
    assert sorted(shown.tolist()) == list(range(n))
    assert shown.equal(order(seed, epoch, n))


def test_epochs_and_seeds_differ() -> None:
    """Another epoch or another seed is another order."""
    assert len({tuple(order(seed, epoch, 50).tolist()) for seed in range(3) for epoch in range(3)}) == 9


def slowly_batch_positions(seed: int, epoch: int, n: int, repeats: int, batch: int) -> list[list[tuple[int, int]]]:
    """(image, repeat) of every place of an epoch's batches, by loops."""
    row = [(int(k), repeat) for k in order(seed, epoch, n) for repeat in range(repeats)][:n]
    batches = [row[begin : begin + batch] for begin in range(0, n, batch)]
    return [[draw for r in range(repeats) for draw in chunk if draw[1] == r] for chunk in batches]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 20))
def test_repeats_are_shown_as_a_slow_loop_has_them(n: int, repeats: int, batch: int) -> None:
    """Each image so many times in a row, the row cut after n, and within a batch all first draws before all second."""
    positions = batch_positions(2, 3, n, repeats=repeats, batch=batch)
    pairs = [[(position % n, position // n) for position in chunk.tolist()] for chunk in positions]
    assert pairs == slowly_batch_positions(2, 3, n, repeats, batch)


@given(st.integers(1, 60), st.integers(1, 20))
def test_without_repeats_an_epoch_is_its_order(n: int, batch: int) -> None:
    """The batches of the first version."""
    assert [chunk.tolist() for chunk in batch_positions(0, 1, n, repeats=1, batch=batch)] == [
        chunk.tolist() for chunk in order(0, 1, n).split(batch)
    ]


def test_repeats_never_change() -> None:
    """These positions are those of the first version with repeats."""
    assert [chunk.tolist() for chunk in batch_positions(0, 0, 8, repeats=3, batch=4)] == [
        [7, 1, 15, 23],
        [3, 9, 11, 17],
    ]


def test_groups_of_a_batch_see_different_images() -> None:
    """Four draws of each image over eight groups: no group has an image twice, as with the sampler on eight GPUs."""
    for chunk in batch_positions(0, 0, 640, repeats=4, batch=64):
        for group in (chunk % 640).split(8):
            assert len(set(group.tolist())) == 8


def test_the_first_draw_is_as_without_repeats() -> None:
    """And every other has words of its own."""
    assert occasion(3, 0) == (3,)
    assert len({occasion(epoch, repeat) for epoch in range(3) for repeat in range(3)}) == 9
