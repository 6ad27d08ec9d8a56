"""The power of a comparison: the smallest detectable difference, and the seeds that a difference takes.

Differences are in points, deviations are those of single networks.
"""

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, assert_never, cast

from resatlas.comparing.statistics import ALIKE, LEVEL, t_beyond

if TYPE_CHECKING:
    from resatlas.comparing.statistics import Array

POWER = 0.80
"""Chance of seeing the difference that a table says it could have seen."""

MOST_NETS = 10_000
"""Nets a design beyond which nobody plans."""

NODES = 64
"""Of the quadrature over one deviation: the power is off by less than 5e-4 from two networks a design on."""

NODES_OF_TWO = 32
"""Of the quadrature over each of two deviations."""


@dataclass(frozen=True, kw_only=True)
class Also:
    """What a claim has to exceed beside the seeds.

    `slack` are the points that unequal budgets may explain, `variance` is that over draws of so many test images; a
    claim needs both intervals, that over seeds and that over seeds and images.
    """

    slack: float = 0.0
    variance: float = 0.0
    images: int = 2


@dataclass(frozen=True, kw_only=True)
class Own:
    """A weighted sum of means whose designs have deviations of their own, judged by Welch.

    With `choice` "alike" the two are pooled where their deviations, as they are drawn, are alike.
    """

    weights: tuple[float, ...]
    deviations: tuple[float, ...]
    counts: tuple[int, ...]
    choice: Literal["Welch", "alike"] = "Welch"
    also: Also = Also()


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A weighted sum of means with one deviation, known from the nets of `everyone`."""

    weights: tuple[float, ...]
    deviation: float
    counts: tuple[int, ...]
    everyone: tuple[int, ...]
    also: Also = Also()


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Pairs of nets; the deviation is that of their differences."""

    deviation: float
    count: int
    also: Also = Also()


Scheme = Own | Shared | Matched


def error_of(scheme: Scheme) -> float:
    """The standard error of the difference."""
    match scheme:
        case Own():
            return math.sqrt(sum(_shares(scheme)))
        case Shared():
            spread = sum(w * w / n for w, n in zip(scheme.weights, scheme.counts, strict=True))
            return scheme.deviation * math.sqrt(spread)
        case Matched():
            return scheme.deviation / math.sqrt(scheme.count)
        case _:
            assert_never(scheme)


def degrees_of(scheme: Scheme) -> float:
    """The degrees of freedom with which its deviation is known."""
    match scheme:
        case Own():
            shares = _shares(scheme)
            within = sum(share**2 / (n - 1) for share, n in zip(shares, scheme.counts, strict=True))
            return sum(shares) ** 2 / within
        case Shared():
            return float(sum(n - 1 for n in scheme.everyone))
        case Matched():
            return scheme.count - 1.0
        case _:
            assert_never(scheme)


def with_nets(scheme: Scheme, nets: int) -> Scheme:
    """The same with so many nets a design."""
    match scheme:
        case Own():
            return replace(scheme, counts=(nets,) * len(scheme.counts))
        case Shared():
            return replace(scheme, counts=(nets,) * len(scheme.counts), everyone=(nets,) * len(scheme.everyone))
        case Matched():
            return replace(scheme, count=nets)
        case _:
            assert_never(scheme)


def scaled(scheme: Scheme, factor: float) -> Scheme:
    """The same with all deviations so many times as large."""
    if isinstance(scheme, Own):
        return replace(scheme, deviations=tuple(factor * each for each in scheme.deviations))
    return replace(scheme, deviation=factor * scheme.deviation)


def power(scheme: Scheme, points: float, *, level: float = LEVEL) -> float:
    """The chance that a difference of so many points is beyond chance.

    By quadrature over the deviations that the networks may show, so that the limits are those that are then used. For
    more than two designs with deviations of their own Satterthwaite's degrees are taken as known.
    """
    from scipy.special import ndtr

    limits, weights = _limits(scheme, level)
    spread = math.sqrt(error_of(scheme) ** 2 + scheme.also.variance)
    return float(((ndtr((points - limits) / spread) + ndtr((-points - limits) / spread)) * weights).sum())


def visible(scheme: Scheme, *, level: float = LEVEL, chance: float = POWER) -> float:
    """The smallest difference, in points, that is detected with a chance."""
    from scipy.optimize import brentq

    unit, high = math.sqrt(error_of(scheme) ** 2 + scheme.also.variance), 4.0 + scheme.also.slack / error_of(scheme)

    def missing(shift: float) -> float:
        return power(scheme, shift * unit, level=level) - chance

    while missing(high) < 0:
        high *= 2
    return unit * cast("float", brentq(missing, 0.0, high, xtol=1e-6))


def nets_needed(scheme: Scheme, points: float, *, level: float = LEVEL, chance: float = POWER) -> int | None:
    """The fewest networks a design that detect so many points with a chance; None beyond MOST_NETS."""

    def enough(nets: int) -> bool:
        return power(with_nets(scheme, nets), points, level=level) >= chance

    few, many = 1, 2
    while not enough(many):
        if many >= MOST_NETS:
            return None
        few, many = many, min(4 * many, MOST_NETS)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def deviation_factors(degrees: float) -> tuple[float, float]:
    """What a deviation is multiplied with for the ends of its own 95 % interval (chi-square)."""
    from scipy.special import chdtri

    low, high = (math.sqrt(degrees / float(chdtri(degrees, tail))) for tail in (LEVEL / 2, 1 - LEVEL / 2))
    return low, high


def _shares(scheme: Own) -> list[float]:
    parts = zip(scheme.weights, scheme.deviations, scheme.counts, strict=True)
    return [(weight * deviation) ** 2 / n for weight, deviation, n in parts]


@lru_cache(maxsize=8)
def _limits(scheme: Scheme, level: float) -> tuple["Array", "Array"]:
    """What a difference has to exceed, for each deviation that the networks may show, and the weights of these."""
    import numpy as np

    squares, degrees, weights = _spreads(scheme)
    limits = t_beyond(level / 2, degrees) * np.sqrt(squares)
    if scheme.also.variance > 0:
        total = squares + scheme.also.variance
        both = total**2 / (squares**2 / degrees + scheme.also.variance**2 / (scheme.also.images - 1))
        limits = np.maximum(limits, t_beyond(level / 2, both) * np.sqrt(total))
    return limits + scheme.also.slack, weights


def _spreads(scheme: Scheme) -> tuple["Array", "Array", "Array"]:
    """Squared standard errors that the networks may show, with their degrees of freedom, and the weights of these."""
    import numpy as np
    from scipy.special import gammaincinv

    def drawn(degrees: float, nodes: "Array") -> "Array":
        return gammaincinv(degrees / 2, nodes) * 2 / degrees

    if not (isinstance(scheme, Own) and len(scheme.counts) == 2 and min(scheme.deviations) > 0):
        degrees, (nodes, weights) = degrees_of(scheme), _quadrature(NODES)
        return error_of(scheme) ** 2 * drawn(degrees, nodes), np.full(NODES, degrees), weights
    nodes, weights = _quadrature(NODES_OF_TWO)
    n, m = scheme.counts
    one = scheme.deviations[0] ** 2 * drawn(n - 1, nodes)[:, None]
    other = scheme.deviations[1] ** 2 * drawn(m - 1, nodes)[None, :]
    a, b = (weight**2 / count for weight, count in zip(scheme.weights, scheme.counts, strict=True))
    squares = a * one + b * other
    degrees_ = squares**2 / ((a * one) ** 2 / (n - 1) + (b * other) ** 2 / (m - 1))
    if scheme.choice == "alike":
        alike = np.maximum(one, other) < ALIKE**2 * np.minimum(one, other)
        squares = np.where(alike, ((n - 1) * one + (m - 1) * other) / (n + m - 2) * (a + b), squares)
        degrees_ = np.where(alike, n + m - 2, degrees_)
    return squares, degrees_, weights[:, None] * weights[None, :]


@cache
def _quadrature(count: int) -> tuple["Array", "Array"]:
    """Points and weights of Gauss and Legendre on (0, 1)."""
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss(count)
    return (points + 1) / 2, weights / 2
