"""What so many nets could have seen: the power of each kind of comparison, and the nets that a difference takes.

Differences are in points, deviations are those of single nets.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, assert_never, cast

from resatlas.reporting.statistics import LEVEL, t_beyond

if TYPE_CHECKING:
    from resatlas.reporting.statistics import Array

POWER = 0.80
"""Chance of seeing the difference that a table says it could have seen."""

MOST_NETS = 10_000
"""Nets a design beyond which nobody plans."""

NODES = 64
"""Of the quadrature: the power is off by less than 5e-4 from two nets a design on."""


@dataclass(frozen=True, kw_only=True)
class Own:
    """A weighted sum of means whose designs have deviations of their own: judged by Welch."""

    weights: tuple[float, ...]
    deviations: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A weighted sum of means with one deviation, known from the nets of `everyone`."""

    weights: tuple[float, ...]
    deviation: float
    counts: tuple[int, ...]
    everyone: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Pairs of nets; the deviation is that of their differences."""

    deviation: float
    count: int


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
    """The chance that a difference of so many points is told from none.

    Exact for pooled and paired, and for Welch over two designs: given the share B of one design in the squares,
    which follows a beta distribution, Welch's statistic is a multiple of a noncentral t with Σ(n - 1) degrees of
    freedom. For more designs Satterthwaite's degrees are taken as known.
    """
    shift, degrees = points / error_of(scheme), degrees_of(scheme)
    if isinstance(scheme, Own) and len(scheme.counts) == 2 and min(scheme.deviations) > 0:
        return _power_of_welch(scheme, shift, level)
    return float(_beyond(t_beyond(level / 2, degrees), degrees, shift))


def visible(scheme: Scheme, *, level: float = LEVEL) -> float:
    """The smallest difference, in points, that is seen with the chance POWER."""
    from scipy.optimize import brentq

    unit, high = error_of(scheme), 4.0

    def missing(shift: float) -> float:
        return power(scheme, shift * unit, level=level) - POWER

    while missing(high) < 0:
        high *= 2
    return unit * cast("float", brentq(missing, 0.0, high, xtol=1e-6))


def nets_needed(scheme: Scheme, points: float, *, level: float = LEVEL) -> int | None:
    """The fewest nets a design that see so many points with the chance POWER; None beyond MOST_NETS."""

    def enough(nets: int) -> bool:
        return power(with_nets(scheme, nets), points, level=level) >= POWER

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


def _power_of_welch(scheme: Own, shift: float, level: float) -> float:
    from scipy.special import betaincinv

    nodes, weights = _quadrature()
    n, m = scheme.counts
    share = betaincinv((n - 1) / 2, (m - 1) / 2, nodes)
    a, b = (part / (k - 1) for part, k in zip(_shares(scheme), scheme.counts, strict=True))
    one, other = share * a, (1 - share) * b
    degrees = (one + other) ** 2 / (one**2 / (n - 1) + other**2 / (m - 1))
    within = n + m - 2
    limits = t_beyond(level / 2, degrees) * (within * (one + other)) ** 0.5 / error_of(scheme)
    return float((weights * _beyond(limits, within, shift)).sum())


def _beyond(limits: "Array", degrees: float, shift: float) -> "Array":
    """The chances that a noncentral t lies outside ±limit, by quadrature over its denominator.

    scipy's own (`nct`) gives nan for few degrees and far limits.
    """
    from scipy.special import gammaincinv, ndtr

    nodes, weights = _quadrature()
    ends = limits[..., None] * (gammaincinv(degrees / 2, nodes) * 2 / degrees) ** 0.5
    return ((ndtr(shift - ends) + ndtr(-shift - ends)) * weights).sum(axis=-1)


@cache
def _quadrature() -> tuple["Array", "Array"]:
    """Points and weights of Gauss and Legendre on (0, 1)."""
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss(NODES)
    return (points + 1) / 2, weights / 2
