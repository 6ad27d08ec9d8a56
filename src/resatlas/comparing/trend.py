"""Test of whether a value rises or falls over the sizes of a family."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from resatlas.comparing.statistics import Estimate, Moments, welch


class Size(NamedTuple):
    """A size, such as a depth, with the values of its networks."""

    amount: float
    values: Moments


def trend(sizes: Sequence[Size]) -> Estimate:
    """Slope of the means over the logarithm of the size, with its error; each size needs two networks or more.

    It is one contrast of all sizes, by Welch, so that there is one p whatever the number of sizes.
    """
    logs = [math.log(size.amount) for size in sizes]
    middle = sum(logs) / len(logs)
    square = sum((log - middle) ** 2 for log in logs)
    return welch([(log - middle) / square for log in logs], [size.values for size in sizes])
