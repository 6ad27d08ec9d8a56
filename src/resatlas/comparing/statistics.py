"""Differences between designs with the trained net as the unit: which interval, which p.

Values have their nets along the last axis, whatever stands before it, so that a simulation of many studies runs the
code that judges one. Errors and differences are in points, deviations are those of single nets.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Facts = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

LEVEL = 0.05
"""Chance of naming a difference where there is none; intervals are of 1 - LEVEL."""

CLAIM_LEVEL = 0.045
"""A claim needs a p of at most this: then LEVEL also holds where deviations differ by 4 : 1; docs/decisions/0005."""

ALIKE = 1.5
"""Deviations are pooled where the largest is less than this many times the smallest; docs/decisions/0005."""

PAIRS = 5
"""Pairs of nets from which a correlation can be told at all; docs/decisions/0005."""

PAIRING_LEVEL = 0.01
"""One-sided level at which a correlation over seeds is believed; docs/decisions/0005."""

OPPOSING_LEVEL = 0.05
"""The same for a negative one, where not to pair would make an interval too narrow."""

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
    """Whether a correlation over so many pairs is beyond chance.

    Pairing then gains more than it risks; where the correlation is negative it keeps the interval wide enough.
    """
    import numpy as np

    if pairs < PAIRS:
        return np.zeros(np.shape(r), dtype=bool)

    def least(level: float) -> float:
        point = float(t_beyond(level, pairs - 2))
        return point / math.sqrt(pairs - 2 + point**2)

    known = np.nan_to_num(np.asarray(r))
    return (known > least(PAIRING_LEVEL)) | (known < -least(OPPOSING_LEVEL))


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
    half = t_beyond(level / 2, estimate.degrees) * estimate.error
    return estimate.difference - half, estimate.difference + half


def mean_interval(values: Sequence[float], *, most: float = 100.0) -> tuple[float, float] | None:
    """The 95 % interval of the mean of some networks, by their own deviation; None where they have none.

    Cut at 0 and at the most that a value can be: an interval covers no less for it.
    """
    if len(values) < 2 or not moments(values).variance > 0:
        return None
    low, high = interval(welch((1.0,), (moments(values),)))
    return max(float(low), 0.0), min(float(high), most)


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


def t_beyond(chance: float, degrees: "ArrayLike") -> "Array":
    """The point that t exceeds with a chance."""
    import numpy as np
    from scipy.special import stdtrit

    return np.asarray(-stdtrit(degrees, chance))


def _weighted(weights: Sequence[float], samples: Sequence[Moments]) -> "Array":
    import numpy as np

    return np.asarray(sum(weight * each.mean for weight, each in zip(weights, samples, strict=True)))
