"""Contenders take turns, and what is told of their times is right."""

import pytest

from resatlas.bench import stopwatch
from resatlas.bench.stopwatch import Spread, alternate, geometric_mean, ratio, spread


class Clock:
    """A clock that goes on when a contender says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        """The time that it shows."""
        return self.now


def test_every_round_has_each_once_in_rotated_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of each is not counted; of the others each has its own seconds, and all calls are told of."""
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    calls: list[str] = []
    told: list[tuple[int, int]] = []

    def contender(name: str, seconds: float) -> None:
        calls.append(name)
        clock.now += seconds * len(calls)

    found = alternate(
        {"a": lambda: contender("a", 1), "b": lambda: contender("b", 2), "c": lambda: contender("c", 3)},
        rounds=2,
        on_advance=lambda done, total: told.append((done, total)),
    )
    assert "".join(calls) == "abcbcacab"
    assert found == {"a": (6, 8), "b": (8, 18), "c": (15, 21)}
    assert told == [(k + 1, 9) for k in range(9)]
    calls.clear()
    assert alternate({"a": lambda: contender("a", 1)}, rounds=2, uncounted=0) == {"a": (1, 2)}


def test_spreads_are_medians_between_quartiles() -> None:
    """Of five values the second, third and fourth; of one value that one."""
    assert spread([5, 1, 4, 2, 3]) == Spread(2, 3, 4)
    assert spread([7]) == Spread(7, 7, 7)


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which everything is ten times as slow changes no ratio."""
    assert ratio([2, 20, 2], [1, 10, 1]) == Spread(2, 2, 2)
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 2], [1])


def test_means_of_ratios_are_geometric() -> None:
    """Half and twice as fast are as fast."""
    assert geometric_mean([0.5, 2]) == pytest.approx(1)
