"""Differences between designs with the trained network as the unit: which interval, which p.

Values have their networks along the last axis and any axes before it, so that a simulation of many studies runs the
code that judges one. Errors and differences are in points, deviations are those of single networks.
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
"""Probability of claiming a difference where there is none; intervals are of 1 - LEVEL."""

CLAIM_LEVEL = 0.045
"""A claim needs a p of at most this: then LEVEL also holds where deviations differ by 4 : 1; docs/decisions/0005."""

POOLING_RATIO = 1.5
"""Deviations are pooled where the largest is less than this many times the smallest; docs/decisions/0005."""

LEAST_PAIRS = 5
"""Pairs of networks from which a correlation is tested at all; docs/decisions/0005."""

PAIRING_LEVEL = 0.01
"""One-sided level of a positive correlation over seeds from which designs are paired; docs/decisions/0005."""

_OPPOSING_LEVEL = 0.05
"""The same for a negative correlation, where an unpaired interval would be too narrow."""

_ROUNDING = 1e-9
"""Points below which values count as equal: one image of ten million is a hundred times as much."""

Method = Literal["Welch", "pooled", "paired"]
"""Each design has its own deviation; all share one; pairs of one seed."""


class Moments(NamedTuple):
    """Number of networks, their mean and their variance (with n - 1)."""

    count: int
    mean: "Array"
    variance: "Array"


class Estimate(NamedTuple):
    """A difference such that (difference - truth)/error follows t with these degrees of freedom."""

    difference: "Array"
    error: "Array"
    degrees: "Array"


def moments(values: "ArrayLike") -> Moments:
    """The moments over the last axis; values that differ only by rounding have a variance of exactly 0."""
    import numpy as np

    networks = np.asarray(values, dtype=np.float64)
    first = networks[..., :1]
    shifted = networks - first
    shifted = np.where(np.abs(shifted) < _ROUNDING, 0.0, shifted)
    return Moments(networks.shape[-1], first[..., 0] + shifted.mean(axis=-1), shifted.var(axis=-1, ddof=1))


def welch(weights: Sequence[float], samples: Sequence[Moments]) -> Estimate:
    """Σ w·mean with the error √(Σ w²s²/n) and the degrees of freedom of Welch and Satterthwaite.

    The degrees are not a number where no sample varies.
    """
    import numpy as np

    shares = [weight**2 * sample.variance / sample.count for weight, sample in zip(weights, samples, strict=True)]
    square = np.asarray(sum(shares))
    within = sum(share**2 / (sample.count - 1) for share, sample in zip(shares, samples, strict=True))
    with np.errstate(invalid="ignore"):
        degrees = square**2 / within
    return Estimate(_weighted(weights, samples), np.sqrt(square), degrees)


def pooled(weights: Sequence[float], samples: Sequence[Moments], designs: Sequence[Moments]) -> Estimate:
    """Σ w·mean with the error s·√(Σ w²/n), where s² is the variance within all designs together."""
    import numpy as np

    degrees = sum(design.count - 1 for design in designs)
    variance = sum((design.count - 1) * design.variance for design in designs) / degrees
    shares = sum(weight**2 / sample.count for weight, sample in zip(weights, samples, strict=True))
    error = np.sqrt(variance * shares)
    return Estimate(_weighted(weights, samples), error, np.full(np.shape(error), float(degrees)))


def paired(first: "ArrayLike", second: "ArrayLike") -> Estimate:
    """The mean of the differences, network by network, with n - 1 degrees of freedom."""
    import numpy as np

    differences = moments(np.subtract(first, second))
    error = np.sqrt(differences.variance / differences.count)
    return Estimate(differences.mean, error, np.full(np.shape(error), differences.count - 1.0))


def similar_deviations(designs: Sequence[Moments]) -> "Facts":
    """Whether the deviations are similar enough to be pooled."""
    import numpy as np

    variances = np.stack([design.variance for design in designs])
    return variances.max(axis=0) < POOLING_RATIO**2 * variances.min(axis=0)


def correlation(first: "ArrayLike", second: "ArrayLike") -> "Array":
    """Pearson's r over pairs of networks; not a number where one side does not vary."""
    import numpy as np

    one, other = (np.asarray(side, dtype=np.float64) for side in (first, second))
    a, b = one - one[..., :1], other - other[..., :1]
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.clip((a * b).sum(axis=-1) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1)), -1, 1)


def correlated(r: "ArrayLike", pairs: int) -> "Facts":
    """Whether a correlation over this number of pairs is significant.

    Pairing then gains more than it risks; where the correlation is negative it keeps the interval wide enough.
    """
    import numpy as np

    if pairs < LEAST_PAIRS:
        return np.zeros(np.shape(r), dtype=bool)

    def limit(level: float) -> float:
        quantile = float(t_quantile(level, pairs - 2))
        return quantile / math.sqrt(pairs - 2 + quantile**2)

    known = np.nan_to_num(np.asarray(r))
    return (known > limit(PAIRING_LEVEL)) | (known < -limit(_OPPOSING_LEVEL))


def difference(
    first: "ArrayLike",
    second: "ArrayLike",
    designs: Sequence[Moments],
    *,
    seeds: Literal["shared", "other"],
) -> tuple[Estimate, "np.ndarray[tuple[int, ...], np.dtype[np.str_]]"]:
    """First minus second, and the method that was chosen.

    Paired where both have the same seeds in the same order and their correlation is significant, unless all pairs
    differ by the same amount; else with the pooled deviation of `designs` where their deviations are similar; else by
    Welch.
    """
    import numpy as np

    sides, weights = (moments(first), moments(second)), (1.0, -1.0)
    estimates = [welch(weights, sides), pooled(weights, sides, designs)]
    chosen = np.where(similar_deviations(designs), 1, 0)
    if seeds == "shared":
        estimates.append(paired(first, second))
        supported = correlated(correlation(first, second), sides[0].count) & (estimates[-1].error > 0)
        chosen = np.where(supported, 2, chosen)
    methods = np.array(("Welch", "pooled", "paired"))
    return Estimate(*(np.choose(chosen, parts) for parts in zip(*estimates, strict=True))), methods[chosen]


def interval(estimate: Estimate, level: float = LEVEL) -> tuple["Array", "Array"]:
    """The interval of 1 - level around the difference."""
    half = t_quantile(level / 2, estimate.degrees) * estimate.error
    return estimate.difference - half, estimate.difference + half


def mean_interval(values: Sequence[float], *, most: float = 100.0) -> tuple[float, float] | None:
    """The 95 % interval of the mean of some networks, by their own deviation; None if they do not vary.

    It is cut at 0 and at `most`, the largest possible value, which does not lower its coverage.
    """
    if len(values) < 2 or not moments(values).variance > 0:
        return None
    low, high = interval(welch((1.0,), (moments(values),)))
    return max(float(low), 0.0), min(float(high), most)


def p_value(estimate: Estimate) -> "Array":
    """The two-sided p of the hypothesis that there is no difference."""
    import numpy as np
    from scipy.special import stdtr

    return 2 * stdtr(estimate.degrees, -np.abs(estimate.difference) / estimate.error)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p adjusted by Holm, which keeps the probability of any false claim among them to the level.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    return tuple(map(float, holm_by_study(p_values)))


def holm_by_study(p_values: Sequence["ArrayLike"]) -> tuple["Array", ...]:
    """`holm` for arrays, study by study.

    Shape: each (...,) -> each (...,).
    """
    import numpy as np

    if not p_values:
        return ()
    table = np.stack(np.broadcast_arrays(*p_values)).astype(np.float64)
    order = np.argsort(table, axis=0, kind="stable")
    ranks = np.arange(len(p_values), 0, -1).reshape(-1, *[1] * (table.ndim - 1))
    steps = np.maximum.accumulate(np.minimum(1.0, ranks * np.take_along_axis(table, order, axis=0)), axis=0)
    adjusted = np.empty_like(table)
    np.put_along_axis(adjusted, order, steps, axis=0)
    return tuple(adjusted)


def t_quantile(tail: float, degrees: "ArrayLike") -> "Array":
    """The value that t exceeds with the probability `tail`."""
    import numpy as np
    from scipy.special import stdtrit

    return np.asarray(-stdtrit(degrees, tail))


def _weighted(weights: Sequence[float], samples: Sequence[Moments]) -> "Array":
    import numpy as np

    return np.asarray(sum(weight * sample.mean for weight, sample in zip(weights, samples, strict=True)))
