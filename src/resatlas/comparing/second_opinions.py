"""Second opinions on a difference that need no normal errors, and the exact test of one net against another.

For a user whose reviewer asks whether a claim rests on normal errors; `compare` prints them and no verdict uses them.
"""

import math
from collections.abc import Sequence

from resatlas.comparing.statistics import moments, welch

RANKS = 10
"""Nets a design from which rank tests and resampling have something to say."""

RESAMPLES = 9_999


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
