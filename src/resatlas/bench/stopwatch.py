"""Contenders timed in one run, by turns: a round has each of them once, and ratios are taken within a round.

What slows a machine for a moment then slows one round, not one contender.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """A median between the quartiles of what was measured."""

    low: float
    median: float
    high: float


def alternate(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    uncounted: int = 1,
    on_advance: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005 - nobody listens
) -> Mapping[str, tuple[float, ...]]:
    """Seconds of each contender, round by round, after a round that is not counted, to warm up.

    Round k begins with contender k, so that none always runs first. `on_advance` hears how many calls of all are done.
    Who has warmed the contenders up says that there are 0 rounds `uncounted`.
    """
    names, total, done = list(contenders), len(contenders) * (rounds + uncounted), 0
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for k in range(rounds + uncounted):
        first = k % max(len(names), 1)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            contenders[name]()
            if k >= uncounted:
                seconds[name].append(time.perf_counter() - started)
            done += 1
            on_advance(done, total)
    return {name: tuple(each) for name, each in seconds.items()}


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles; of a single value, itself three times."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high)


def median(values: Sequence[float]) -> float:
    """The middle of the values."""
    return statistics.median(values)


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """over/under round by round, as median and quartiles."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def geometric_mean(values: Sequence[float]) -> float:
    """The nth root of the product of n values above 0."""
    return statistics.geometric_mean(values)
