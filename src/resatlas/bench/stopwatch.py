"""Time contenders in turns within one run: a round calls each of them once, and ratios are taken within a round.

So a short slowdown of the machine affects one round rather than one contender.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from resatlas.values.table import Column

AGAINST_PEER = (
    *(Column(f"images_per_second{end}", "images/s") for end in ("", "_low", "_high")),
    *(Column(f"peer_images_per_second{end}", "images/s") for end in ("", "_low", "_high")),
    *(Column(f"over_peer{end}", "1") for end in ("", "_low", "_high")),
)
"""Medians and quartiles of the rates of ours and of a peer, and of their ratio within a round."""


class Spread(NamedTuple):
    """The median and the quartiles of measurements."""

    low: float
    median: float
    high: float


def alternate(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    uncounted: int = 1,
    on_advance: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005 - no-op
) -> Mapping[str, tuple[float, ...]]:
    """Seconds of each contender, round by round, after `uncounted` rounds of warm-up.

    Round k begins with contender k, so that none always runs first. `on_advance` receives the number of calls done and
    their total. Pass uncounted=0 if the contenders are warm already.
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
    return {name: tuple(times) for name, times in seconds.items()}


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles; for a single value, this value three times."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high)


def against_peer(count: int, seconds: Mapping[str, Sequence[float]]) -> tuple[float, ...]:
    """The values of `AGAINST_PEER`, from the seconds in which "ours" and "peer" made `count` images, round by round."""
    ours, peer = (tuple(count / second for second in seconds[name]) for name in ("ours", "peer"))
    spreads = (spread(ours), spread(peer), ratio(ours, peer))
    return tuple(value for one in spreads for value in (one.median, one.low, one.high))


def median(values: Sequence[float]) -> float:
    """The median of the values."""
    return statistics.median(values)


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """over/under round by round, as median and quartiles."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def geometric_mean(values: Sequence[float]) -> float:
    """The nth root of the product of n values above 0."""
    return statistics.geometric_mean(values)
