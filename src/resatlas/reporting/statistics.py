"""Differences between designs with the trained net as the unit: intervals, what could be seen, and nets needed.

Values have their nets along the last axis, whatever stands before it, so that a simulation of many studies runs the
code that judges one. Errors and differences are in points, deviations are those of single nets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Facts = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

LEVEL = 0.05
"""Chance of naming a difference where there is none; intervals are of 1 - LEVEL."""

POWER = 0.80
"""Chance of seeing the difference that a table says it could have seen."""

ALIKE = 2.0
"""Deviations are pooled where the largest is less than this many times the smallest; docs/decisions/0005."""

PAIRS = 5
"""Pairs of nets from which a correlation can be told at all; docs/decisions/0005."""

PAIRING_LEVEL = 0.01
"""One-sided level at which a correlation over seeds is believed; docs/decisions/0005."""

RANKS = 10
"""Nets a design from which rank tests and resampling have something to say."""

MOST_NETS = 10_000
"""Nets a design beyond which nobody plans."""

RESAMPLES = 9_999

ROUNDING = 1e-9
"""Points that are no difference: an image of ten million is a hundred times as much."""

Method = Literal["Welch", "pooled", "paired"]
"""Each design has its own deviation; all share one; pairs of one seed."""


class Moments(NamedTuple):
    """Number of nets, their mean and their variance (with n - 1)."""

    count: int
    mean: "Array"
    variance: "Array"


class Estimate(NamedTuple):
    """A difference such that (difference - truth)/error follows t with these degrees of freedom."""

    difference: "Array"
    error: "Array"
    degrees: "Array"


def moments(values: "ArrayLike") -> Moments:
    """The moments over the last axis; values that only rounding tells apart have a variance of exactly 0."""
    import numpy as np

    nets = np.asarray(values, dtype=np.float64)
    first = nets[..., :1]
    shifted = nets - first
    shifted = np.where(np.abs(shifted) < ROUNDING, 0.0, shifted)
    return Moments(nets.shape[-1], first[..., 0] + shifted.mean(axis=-1), shifted.var(axis=-1, ddof=1))


def welch(weights: Sequence[float], samples: Sequence[Moments]) -> Estimate:
    """Σ w·mean with the error √(Σ w²s²/n) and the degrees of freedom of Welch and Satterthwaite.

    Where no sample varies the degrees are not a number.
    """
    import numpy as np

    shares = [weight**2 * each.variance / each.count for weight, each in zip(weights, samples, strict=True)]
    square = np.asarray(sum(shares))
    within = sum(share**2 / (each.count - 1) for share, each in zip(shares, samples, strict=True))
    with np.errstate(invalid="ignore"):
        degrees = square**2 / within
    return Estimate(_weighted(weights, samples), np.sqrt(square), degrees)


def pooled(weights: Sequence[float], samples: Sequence[Moments], everyone: Sequence[Moments]) -> Estimate:
    """Σ w·mean with the error s·√(Σ w²/n), where s² is the variance within all designs together."""
    import numpy as np

    degrees = sum(each.count - 1 for each in everyone)
    variance = sum((each.count - 1) * each.variance for each in everyone) / degrees
    shares = sum(weight**2 / each.count for weight, each in zip(weights, samples, strict=True))
    error = np.sqrt(variance * shares)
    return Estimate(_weighted(weights, samples), error, np.full(np.shape(error), float(degrees)))


def paired(first: "ArrayLike", second: "ArrayLike") -> Estimate:
    """The mean of the differences, net by net, with n - 1 degrees of freedom."""
    import numpy as np

    each = moments(np.subtract(first, second))
    error = np.sqrt(each.variance / each.count)
    return Estimate(each.mean, error, np.full(np.shape(error), each.count - 1.0))


def alike(everyone: Sequence[Moments]) -> "Facts":
    """Whether the deviations are near enough to each other to be pooled."""
    import numpy as np

    variances = np.stack([each.variance for each in everyone])
    return variances.max(axis=0) < ALIKE**2 * variances.min(axis=0)


def correlation(first: "ArrayLike", second: "ArrayLike") -> "Array":
    """Pearson's r over pairs of nets; not a number where one side does not vary."""
    import numpy as np

    one, other = (np.asarray(each, dtype=np.float64) for each in (first, second))
    a, b = one - one[..., :1], other - other[..., :1]
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.clip((a * b).sum(axis=-1) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1)), -1, 1)


def correlated(r: "ArrayLike", pairs: int) -> "Facts":
    """Whether a correlation over so many pairs is told from none, so that pairing gains more than it risks."""
    import numpy as np

    if pairs < PAIRS:
        return np.zeros(np.shape(r), dtype=bool)
    point = float(_t_beyond(PAIRING_LEVEL, pairs - 2))
    return np.nan_to_num(np.asarray(r)) > point / math.sqrt(pairs - 2 + point**2)


def difference(
    first: "ArrayLike",
    second: "ArrayLike",
    everyone: Sequence[Moments],
    *,
    seeds: Literal["shared", "other"],
) -> tuple[Estimate, "np.ndarray[tuple[int, ...], np.dtype[np.str_]]"]:
    """First minus second as it is judged, and by which method.

    Paired where both have the same seeds, in the same order, and the correlation supports it, unless all pairs differ
    by the same; else with the deviation of `everyone` where those are alike; else by Welch.
    """
    import numpy as np

    sides, weights = (moments(first), moments(second)), (1.0, -1.0)
    found = [welch(weights, sides), pooled(weights, sides, everyone)]
    chosen = np.where(alike(everyone), 1, 0)
    if seeds == "shared":
        found.append(paired(first, second))
        supported = correlated(correlation(first, second), sides[0].count) & (found[-1].error > 0)
        chosen = np.where(supported, 2, chosen)
    methods = np.array(("Welch", "pooled", "paired"))
    return Estimate(*(np.choose(chosen, parts) for parts in zip(*found, strict=True))), methods[chosen]


def interval(estimate: Estimate, level: float = LEVEL) -> tuple["Array", "Array"]:
    """The interval of 1 - level about the difference."""
    half = _t_beyond(level / 2, estimate.degrees) * estimate.error
    return estimate.difference - half, estimate.difference + half


def p_value(estimate: Estimate) -> "Array":
    """The two-sided chance of such a difference where there is none."""
    import numpy as np
    from scipy.special import stdtr

    return 2 * stdtr(estimate.degrees, -np.abs(estimate.difference) / estimate.error)


def holm(chances: Sequence[float]) -> tuple[float, ...]:
    """Chances adjusted so that any false claim among them keeps to the level.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted, reached = [0.0] * len(chances), 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda k: chances[k])):
        reached = max(reached, min(1.0, (len(chances) - rank) * chances[place]))
        adjusted[place] = reached
    return tuple(adjusted)


# ------------------------------------------------------------------------------------------------ what could be seen


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
    return float(_beyond(_t_beyond(level / 2, degrees), degrees, shift))


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


# ------------------------------------------------------------------------------------------------- second opinions


def least_rank_p(first: int, second: int) -> float:
    """The smallest two-sided p of Wilcoxon's rank sum over so many nets: 2 of all ways to deal the ranks."""
    return 2 / math.comb(first + second, first)


def least_bootstrap_p(first: int, second: int) -> float:
    """The smallest p of `bootstrap`: the chance that both resamples hold one net alone, whose spread is none."""
    return float(first) ** (1 - first) * float(second) ** (1 - second)


def rank_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Wilcoxon's rank sum, two-sided; exact without ties."""
    from scipy.stats import mannwhitneyu

    ties = len({*first, *second}) < len(first) + len(second)
    return float(mannwhitneyu(first, second, method="asymptotic" if ties else "exact").pvalue)


def bootstrap_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Bootstrap of Welch's t: how often |t| of resamples about their own means is as large as the |t| found.

    The same values give the same p, in whatever order. A resample without any spread counts as extreme.
    """
    import numpy as np

    random = np.random.default_rng(0)
    sides = sorted((sorted(first), sorted(second)))
    drawn = [np.asarray(each)[random.integers(len(each), size=(RESAMPLES, len(each)))] for each in sides]
    found = welch((1.0, -1.0), [moments(each) for each in sides])
    again = welch((1.0, -1.0), [moments(each) for each in drawn])
    with np.errstate(divide="ignore", invalid="ignore"):
        strayed = np.abs(again.difference - found.difference) / again.error
    limit = float(np.abs(found.difference) / found.error)
    extreme = int(((strayed >= limit) | (again.error == 0)).sum())
    return (1 + extreme) / (1 + RESAMPLES)


def mcnemar_p(first_alone: int, second_alone: int) -> float:
    """McNemar's exact p of two nets: images that only the one, or only the other, gets wrong."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(first_alone, second_alone), first_alone + second_alone, 0.5)))


def _weighted(weights: Sequence[float], samples: Sequence[Moments]) -> "Array":
    import numpy as np

    return np.asarray(sum(weight * each.mean for weight, each in zip(weights, samples, strict=True)))


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
    limits = _t_beyond(level / 2, degrees) * (within * (one + other)) ** 0.5 / error_of(scheme)
    return float((weights * _beyond(limits, within, shift)).sum())


def _beyond(limits: "Array", degrees: float, shift: float) -> "Array":
    """The chances that a noncentral t lies outside ±limit, by quadrature over its denominator.

    scipy's own (`nct`) gives nan for few degrees and far limits.
    """
    from scipy.special import gammaincinv, ndtr

    nodes, weights = _quadrature()
    ends = limits[..., None] * (gammaincinv(degrees / 2, nodes) * 2 / degrees) ** 0.5
    return ((ndtr(shift - ends) + ndtr(-shift - ends)) * weights).sum(axis=-1)


def _t_beyond(chance: float, degrees: "ArrayLike") -> "Array":
    """The point that t exceeds with a chance."""
    import numpy as np
    from scipy.special import stdtrit

    return np.asarray(-stdtrit(degrees, chance))


@cache
def _quadrature() -> tuple["Array", "Array"]:
    """Points and weights of Gauss and Legendre on (0, 1)."""
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss(NODES)
    return (points + 1) / 2, weights / 2


NODES = 64
"""Of the quadrature: the power is off by less than 5e-4 from two nets a design on."""
