"""The power of a comparison: the smallest detectable difference, and the seeds needed to detect a difference.

Differences are in points, deviations are those of single networks.
"""

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, assert_never, cast

from resatlas.comparing.statistics import LEVEL, POOLING_RATIO, t_quantile

if TYPE_CHECKING:
    from resatlas.comparing.statistics import Array

POWER = 0.80
"""Probability of detecting the smallest detectable difference."""

MOST_NETS = 10_000
"""Networks per design up to which the number needed is searched."""

_NODES = 64
"""Nodes of the quadrature over one deviation: with two networks per design or more, the power is exact to 5e-4."""

_NODES_OF_TWO = 32
"""Nodes of the quadrature over each of two deviations."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a claim must exceed besides the variation over seeds.

    `slack` are the points that unequal budgets may explain, `variance` is the variance over draws of this number of
    test images. A claim needs both intervals, the one over seeds and the one over seeds and images.
    """

    slack: float = 0.0
    variance: float = 0.0
    images: int = 2


@dataclass(frozen=True, kw_only=True)
class WelchScheme:
    """A weighted sum of means of designs that each have their own deviation, tested by Welch.

    With `pooling` "if similar" the deviations of two designs are pooled where the observed ones are similar.
    """

    weights: tuple[float, ...]
    deviations: tuple[float, ...]
    counts: tuple[int, ...]
    pooling: Literal["never", "if similar"] = "never"
    allowance: Allowance = Allowance()


@dataclass(frozen=True, kw_only=True)
class PooledScheme:
    """A weighted sum of means with one deviation, which is estimated from designs with `all_counts` networks."""

    weights: tuple[float, ...]
    deviation: float
    counts: tuple[int, ...]
    all_counts: tuple[int, ...]
    allowance: Allowance = Allowance()


@dataclass(frozen=True, kw_only=True)
class PairedScheme:
    """Pairs of networks; the deviation is that of their differences."""

    deviation: float
    count: int
    allowance: Allowance = Allowance()


Scheme = WelchScheme | PooledScheme | PairedScheme


def error_of(scheme: Scheme) -> float:
    """The standard error of the difference."""
    match scheme:
        case WelchScheme():
            return math.sqrt(sum(_shares(scheme)))
        case PooledScheme():
            spread = sum(w * w / n for w, n in zip(scheme.weights, scheme.counts, strict=True))
            return scheme.deviation * math.sqrt(spread)
        case PairedScheme():
            return scheme.deviation / math.sqrt(scheme.count)
        case _:
            assert_never(scheme)


def degrees_of(scheme: Scheme) -> float:
    """The degrees of freedom of its deviation."""
    match scheme:
        case WelchScheme():
            shares = _shares(scheme)
            within = sum(share**2 / (n - 1) for share, n in zip(shares, scheme.counts, strict=True))
            return sum(shares) ** 2 / within
        case PooledScheme():
            return float(sum(n - 1 for n in scheme.all_counts))
        case PairedScheme():
            return scheme.count - 1.0
        case _:
            assert_never(scheme)


def with_nets(scheme: Scheme, nets: int) -> Scheme:
    """The scheme with this number of networks per design."""
    match scheme:
        case WelchScheme():
            return replace(scheme, counts=(nets,) * len(scheme.counts))
        case PooledScheme():
            return replace(scheme, counts=(nets,) * len(scheme.counts), all_counts=(nets,) * len(scheme.all_counts))
        case PairedScheme():
            return replace(scheme, count=nets)
        case _:
            assert_never(scheme)


def scaled(scheme: Scheme, factor: float) -> Scheme:
    """The scheme with all deviations multiplied by a factor."""
    if isinstance(scheme, WelchScheme):
        return replace(scheme, deviations=tuple(factor * deviation for deviation in scheme.deviations))
    return replace(scheme, deviation=factor * scheme.deviation)


def power(scheme: Scheme, points: float, *, level: float = LEVEL) -> float:
    """The probability that a difference of this many points is significant.

    By quadrature over the deviations that may be observed, since these determine the limits. For more than two designs
    with their own deviations, Satterthwaite's degrees of freedom are taken as known.
    """
    from scipy.special import ndtr

    limits, weights = _limits(scheme, level)
    spread = math.sqrt(error_of(scheme) ** 2 + scheme.allowance.variance)
    return float(((ndtr((points - limits) / spread) + ndtr((-points - limits) / spread)) * weights).sum())


def detectable(scheme: Scheme, *, level: float = LEVEL, target: float = POWER) -> float:
    """The smallest difference, in points, that is detected with the power `target`."""
    from scipy.optimize import brentq

    unit = math.sqrt(error_of(scheme) ** 2 + scheme.allowance.variance)
    high = 4.0 + scheme.allowance.slack / error_of(scheme)

    def missing(shift: float) -> float:
        return power(scheme, shift * unit, level=level) - target

    while missing(high) < 0:
        high *= 2
    return unit * cast("float", brentq(missing, 0.0, high, xtol=1e-6))


def nets_needed(scheme: Scheme, points: float, *, level: float = LEVEL, target: float = POWER) -> int | None:
    """The fewest networks per design that detect a difference with the power `target`; None above MOST_NETS."""

    def enough(nets: int) -> bool:
        return power(with_nets(scheme, nets), points, level=level) >= target

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
    """The factors from a deviation to the ends of its 95 % interval (chi-square)."""
    from scipy.special import chdtri

    low, high = (math.sqrt(degrees / float(chdtri(degrees, tail))) for tail in (LEVEL / 2, 1 - LEVEL / 2))
    return low, high


def _shares(scheme: WelchScheme) -> list[float]:
    """Each design's part of the squared standard error."""
    parts = zip(scheme.weights, scheme.deviations, scheme.counts, strict=True)
    return [(weight * deviation) ** 2 / n for weight, deviation, n in parts]


@lru_cache(maxsize=8)
def _limits(scheme: Scheme, level: float) -> tuple["Array", "Array"]:
    """The limits that a difference must exceed for each deviation that may be observed, and the weights of these."""
    import numpy as np

    squares, degrees, weights = _spreads(scheme)
    limits = t_quantile(level / 2, degrees) * np.sqrt(squares)
    if scheme.allowance.variance > 0:
        total = squares + scheme.allowance.variance
        both = total**2 / (squares**2 / degrees + scheme.allowance.variance**2 / (scheme.allowance.images - 1))
        limits = np.maximum(limits, t_quantile(level / 2, both) * np.sqrt(total))
    return limits + scheme.allowance.slack, weights


def _spreads(scheme: Scheme) -> tuple["Array", "Array", "Array"]:
    """Squared standard errors that may be observed, with their degrees of freedom and weights."""
    import numpy as np
    from scipy.special import gammaincinv

    def observed(degrees: float, nodes: "Array") -> "Array":
        return gammaincinv(degrees / 2, nodes) * 2 / degrees

    if not (isinstance(scheme, WelchScheme) and len(scheme.counts) == 2 and min(scheme.deviations) > 0):
        degrees, (nodes, weights) = degrees_of(scheme), _quadrature(_NODES)
        return error_of(scheme) ** 2 * observed(degrees, nodes), np.asarray(degrees), weights
    nodes, weights = _quadrature(_NODES_OF_TWO)
    n, m = scheme.counts
    one = scheme.deviations[0] ** 2 * observed(n - 1, nodes)[:, None]
    other = scheme.deviations[1] ** 2 * observed(m - 1, nodes)[None, :]
    a, b = (weight**2 / count for weight, count in zip(scheme.weights, scheme.counts, strict=True))
    squares = a * one + b * other
    degrees_ = squares**2 / ((a * one) ** 2 / (n - 1) + (b * other) ** 2 / (m - 1))
    if scheme.pooling == "if similar":
        similar = np.maximum(one, other) < POOLING_RATIO**2 * np.minimum(one, other)
        squares = np.where(similar, ((n - 1) * one + (m - 1) * other) / (n + m - 2) * (a + b), squares)
        degrees_ = np.where(similar, n + m - 2, degrees_)
    return squares, degrees_, weights[:, None] * weights[None, :]


@cache
def _quadrature(count: int) -> tuple["Array", "Array"]:
    """Nodes and weights of the Gauss-Legendre quadrature on (0, 1)."""
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss(count)
    return (points + 1) / 2, weights / 2
