"""Whether a figure rises or falls over the sizes of a family."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from resatlas.comparing.statistics import Estimate, Moments, welch


class Size(NamedTuple):
    """A size, such as a depth, with the values of its networks."""

    amount: float
    values: Moments


def trend(sizes: Sequence[Size]) -> Estimate:
    """The slope of the means over the logarithm of the size, with its error; sizes have two networks or more.

    One contrast of all sizes, by Welch, so that one p answers, whatever their number.
    """
    logs = [math.log(size.amount) for size in sizes]
    middle = sum(logs) / len(logs)
    square = sum((each - middle) ** 2 for each in logs)
    return welch([(each - middle) / square for each in logs], [size.values for size in sizes])
