"""One test of all designs at once: whether any differs from the others."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resatlas.comparing.statistics import Moments, similar_deviations

if TYPE_CHECKING:
    from resatlas.comparing.statistics import Array


def global_p(designs: Sequence[Moments]) -> "Array":
    """The p of the hypothesis that the means of all designs are equal.

    Fisher's F where the deviations are similar; else the statistic of Brown and Forsythe with both degrees of freedom
    estimated, which keeps the level where deviations differ. Where no design varies, p is the share of all ways to
    assign the errors to the designs that separate them as well.

    Source: Brown and Forsythe, The small sample behavior of some statistics which test the equality of several means,
    Technometrics 16 (1974); Mehrotra, Improving the Brown-Forsythe solution to the generalized Behrens-Fisher problem,
    Communications in Statistics 26 (1997), for the degrees of the numerator.
    """
    import numpy as np
    from scipy.special import fdtrc

    counts = np.array([design.count for design in designs], dtype=np.float64)
    means = np.stack([np.asarray(design.mean) for design in designs], axis=-1)
    squares = np.stack([np.asarray(design.variance) for design in designs], axis=-1)
    total, shares = counts.sum(), counts / counts.sum()
    between = (counts * (means - (shares * means).sum(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    pooled = ((counts - 1) * squares).sum(axis=-1) / (total - len(counts))
    rest = ((1 - shares) * squares).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = rest**2 / ((shares * squares).sum(axis=-1) ** 2 + (squares**2 * (1 - 2 * shares)).sum(axis=-1))
        below = rest**2 / ((1 - shares) ** 2 * squares**2 / (counts - 1)).sum(axis=-1)
        unequal = fdtrc(above, below, between / rest)
        equal = fdtrc(len(counts) - 1, total - len(counts), between / (len(counts) - 1) / pooled)
    p = np.where(similar_deviations(designs), equal, unequal)
    return np.where(rest > 0, p, np.where(between > 0, _least_p([design.count for design in designs]), 1.0))


def _least_p(counts: Sequence[int]) -> float:
    """The share of all ways to assign the errors that keep equal ones together: at most the exact p."""
    ways = math.factorial(sum(counts)) // math.prod(math.factorial(count) for count in counts)
    return min(1.0, math.factorial(len(counts)) / ways)
