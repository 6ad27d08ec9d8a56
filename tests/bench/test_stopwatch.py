"""Contenders take turns, and their times are correct."""

import pytest

from resatlas.bench import stopwatch
from resatlas.bench.stopwatch import Spread, alternate, geometric_mean, ratio, spread


class Clock:
    """A clock that contenders advance."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        """The current time."""
        return self.now


def test_every_round_has_each_once_in_rotated_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of each is not counted; the others have their own seconds, and all calls are reported."""
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    calls: list[str] = []
    advances: list[tuple[int, int]] = []

    def contender(name: str, seconds: float) -> None:
        calls.append(name)
        clock.now += seconds * len(calls)

    times = alternate(
        {"a": lambda: contender("a", 1), "b": lambda: contender("b", 2), "c": lambda: contender("c", 3)},
        rounds=2,
        on_advance=lambda done, total: advances.append((done, total)),
    )
    assert "".join(calls) == "abcbcacab"
    assert times == {"a": (6, 8), "b": (8, 18), "c": (15, 21)}
    assert advances == [(k + 1, 9) for k in range(9)]
    calls.clear()
    assert alternate({"a": lambda: contender("a", 1)}, rounds=2, uncounted=0) == {"a": (1, 2)}


def test_spreads_are_medians_between_quartiles() -> None:
    """The second, third and fourth of five values; a single value three times."""
    assert spread([5, 1, 4, 2, 3]) == Spread(2, 3, 4)
    assert spread([7]) == Spread(7, 7, 7)


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which everything is ten times as slow changes no ratio."""
    assert ratio([2, 20, 2], [1, 10, 1]) == Spread(2, 2, 2)
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 2], [1])


def test_means_of_ratios_are_geometric() -> None:
    """The mean of 1/2 and 2 is 1."""
    assert geometric_mean([0.5, 2]) == pytest.approx(1)
