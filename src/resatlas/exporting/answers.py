"""The answers of two networks on the same images, and the interval of the difference of their errors."""

import math
from typing import NamedTuple

_Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


class Interval(NamedTuple):
    """A difference of errors in percentage points, and its 95 % interval."""

    points: float
    low: float
    high: float


def paired_interval(*, lost: int, won: int, images: int) -> Interval:
    """The additional error of the second network in percentage points.

    lost and won: images that only the first, or only the second, classifies correctly. With b = lost + 1/2,
    c = won + 1/2 and n = images + 2, the interval is (b - c)/n ± z·√(b + c - (b - c)²/n)/n; unlike without the added
    images, it has a width if no answer changed.
    Source: Agresti and Min, Statistics in Medicine 24 (2005), "Simple improved confidence intervals for comparing
        matched proportions".
    """
    b, c, n = lost + 0.5, won + 0.5, images + 2
    centre, spread = (b - c) / n, _Z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return Interval(100 * (lost - won) / images, 100 * (centre - spread), 100 * (centre + spread))
