"""Tests of a difference that assume no normal distribution, and the exact test of one network against another.

They are for readers who ask whether a claim depends on normal errors. `compare` prints them; no verdict uses them.
"""

import math
from collections.abc import Sequence

from resatlas.comparing.statistics import moments, welch

LEAST_NETWORKS = 10
"""Networks per design from which rank tests and resampling are reported."""

_RESAMPLES = 9_999


def least_rank_p(first: int, second: int) -> float:
    """The smallest two-sided p of Wilcoxon's rank sum for these numbers of networks: 2 of all ways to assign ranks."""
    return 2 / math.comb(first + second, first)


def least_bootstrap_p(first: int, second: int) -> float:
    """The smallest p of `bootstrap_p`: the probability that each resample repeats one network and has no spread."""
    return float(first) ** (1 - first) * float(second) ** (1 - second)


def rank_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's rank sum; exact without ties."""
    from scipy.stats import mannwhitneyu

    ties = len({*first, *second}) < len(first) + len(second)
    return float(mannwhitneyu(first, second, method="asymptotic" if ties else "exact").pvalue)


def bootstrap_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Bootstrap of Welch's t: the share of resamples, centred at their own means, whose |t| is at least the observed.

    The same values give the same p in any order. A resample without any spread counts as extreme.
    """
    import numpy as np

    random = np.random.default_rng(0)
    sides = sorted((sorted(first), sorted(second)))
    resamples = [np.asarray(side)[random.integers(len(side), size=(_RESAMPLES, len(side)))] for side in sides]
    observed = welch((1.0, -1.0), [moments(side) for side in sides])
    resampled = welch((1.0, -1.0), [moments(resample) for resample in resamples])
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.abs(resampled.difference - observed.difference) / resampled.error
    limit = float(np.abs(observed.difference) / observed.error)
    extreme = int(((statistics >= limit) | (resampled.error == 0)).sum())
    return (1 + extreme) / (1 + _RESAMPLES)


def mcnemar_p(first_alone: int, second_alone: int) -> float:
    """McNemar's exact p of two networks, from the numbers of images that only one of them misclassifies."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(first_alone, second_alone), first_alone + second_alone, 0.5)))
