"""The paths through a plan: how many there are of each length, and how much each length weighs.

A residual network is a sum over paths: at every unit a path takes a body or a shortcut. Its length is the
number of convolutions and classifiers that it passes; projections on shortcuts are not counted.
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from resatlas.arch.ops import Convolution, Linear
from resatlas.arch.plan import Chain, Plan, Unit

Lengths = Counter[int]
"""Whole numbers of paths, or of shares of a path, by length."""


@dataclass(frozen=True)
class PathLengths:
    """For each length: how many paths have it, and the sum of their coefficients.

    A coefficient is the product of what a path is multiplied with where streams meet: 1/K on each of the K
    paths through a mean, 1 elsewhere. So in networks of one stream the two counts agree.
    Source: DMRNet (arXiv:1611.07718), section 4, counts whole paths; the weighted count is ours.
    """

    paths: dict[int, int]
    weights: dict[int, Fraction]

    @cached_property
    def mean(self) -> Fraction:
        """Mean length of whole paths."""
        return _mean(self.paths)

    @cached_property
    def weighted_mean(self) -> Fraction:
        """Mean length of paths weighted by their coefficients."""
        return _mean(self.weights)

    @property
    def longest(self) -> int:
        """Length of the longest path."""
        return max(self.paths)


def path_lengths(plan: Plan) -> PathLengths:
    """Every path length of the plan, by dynamic programming over its units; exact."""
    streams = len(plan.stages[0][0].streams)
    start = Counter({_convs(plan.stem): 1})
    whole: list[Lengths] = [start] * streams
    shares: list[Lengths] = [start] * streams
    means = 0  # shares are counted in units of 1/streams**means
    for _, unit in plan.units:
        whole = _through(unit, whole, scale=1)
        shares = _through(unit, shares, scale=streams) if streams > 1 else whole
        means += streams > 1
    after = _convs(plan.head) + sum(isinstance(layer.op, Linear) for layer in plan.head)
    denominator = streams**means
    return PathLengths(
        paths=dict(sorted(_shift(_sum(whole), after).items())),
        weights={length: Fraction(share, denominator) for length, share in sorted(_shift(_sum(shares), after).items())},
    )


def _through(unit: Unit, streams: list[Lengths], *, scale: int) -> list[Lengths]:
    """The lengths behind a unit; bodies count `scale` times, so that a mean over `scale` streams stays whole."""
    runs = []
    skips = []
    for stream, lengths in zip(unit.streams, streams, strict=True):
        extra = _convs(stream.first) + _convs(stream.merged)
        bodies = _sum([_shift(lengths, _convs(body) + extra) for body in stream.bodies])
        runs.append(_times(bodies, scale))
        skips.append(lengths if stream.shortcut is not None else Counter())
    mean = _sum(skips)
    match unit.join:
        case None | "concat":
            return [_sum([run, mean]) for run in runs]
        case "merge":
            return [_sum([*runs, mean])]
        case "sum":
            return [_sum([*runs, _times(mean, len(runs))])]


def _convs(chain: Chain) -> int:
    return sum(isinstance(layer.op, Convolution) for layer in chain)


def _shift(lengths: Lengths, by: int) -> Lengths:
    return Counter({length + by: count for length, count in lengths.items()})


def _times(lengths: Lengths, factor: int) -> Lengths:
    return lengths if factor == 1 else Counter({length: count * factor for length, count in lengths.items()})


def _sum(parts: list[Lengths]) -> Lengths:
    if len(parts) == 1:
        return parts[0]
    total: Lengths = Counter()
    for part in parts:
        total.update(part)
    return total


def _mean(counts: dict[int, int] | dict[int, Fraction]) -> Fraction:
    return Fraction(sum(length * count for length, count in counts.items())) / sum(counts.values())
