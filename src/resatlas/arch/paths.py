"""The paths through a plan: the number and the total weight of the paths of each length.

A residual network is a sum over paths: at every unit a path takes a body or a shortcut. Its length is the
number of convolutions and classifiers on it; projections on shortcuts are not counted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Protocol, Self, TypeVar

from resatlas.arch.ops import Product
from resatlas.arch.plan import Chain, Plan, Stream, Unit, joins_body_before


@dataclass(frozen=True)
class PathLengths:
    """For each length, the number of paths and the sum of their coefficients.

    The coefficient of a path is the product of its factors at meeting points of streams: 1/K for each of the K
    paths through a mean, 1 elsewhere. So in networks with one stream the two counts agree. A random projector is
    counted like the mean, which has the same rank; constant factors and gates on single paths are not counted.
    Source: DMRNet (arXiv:1611.07718), section 4, counts whole paths; the weighted count is ours.
    """

    paths: dict[int, int]
    weights: dict[int, Fraction]

    @cached_property
    def mean(self) -> Fraction:
        """Mean length of paths."""
        return Fraction(sum(length * count for length, count in self.paths.items()), sum(self.paths.values()))

    @cached_property
    def weighted_mean(self) -> Fraction:
        """Mean length of paths weighted by their coefficients."""
        whole = sum(self.weights.values(), Fraction(0))
        return sum((length * weight for length, weight in self.weights.items()), Fraction(0)) / whole

    @property
    def longest(self) -> int:
        """Length of the longest path."""
        return max(self.paths)


@dataclass(frozen=True)
class MeanLengths:
    """The means and the maximum of `PathLengths`, computed in time linear in the depth."""

    mean: Fraction
    weighted_mean: Fraction
    longest: int


def path_lengths(plan: Plan) -> PathLengths:
    """All path lengths of the plan, by dynamic programming over its units; exact."""
    all_whole, all_shares, _ = _ends(plan, _Moments(paths=1))
    width = max(all_whole.paths, all_shares.paths).bit_length() // 8 + 1
    whole, shares, denominator = _ends(plan, _Lengths(counts=1, width=width))
    return PathLengths(
        paths=dict(whole.by_length()),
        weights={length: Fraction(share, denominator) for length, share in shares.by_length()},
    )


def mean_lengths(plan: Plan) -> MeanLengths:
    """Mean and longest path length of the plan; exact."""
    whole, shares, _ = _ends(plan, _Moments(paths=1))
    return MeanLengths(
        mean=Fraction(whole.total, whole.paths),
        weighted_mean=Fraction(shares.total, shares.paths),
        longest=whole.longest,
    )


class _Bundle(Protocol):
    """Facts about a set of paths that can be lengthened, multiplied and added."""

    def longer(self, by: int) -> Self: ...
    def times(self, factor: int) -> Self: ...
    def __add__(self, other: Self, /) -> Self: ...


@dataclass(frozen=True)
class _Lengths:
    """The number of paths of each length, as the digits of one integer.

    Digit l has `width` bytes, which suffice for the number of all paths, so that no digit carries into the next one.
    """

    counts: int
    width: int

    def longer(self, by: int) -> "_Lengths":
        return _Lengths(self.counts << 8 * self.width * by, self.width)

    def times(self, factor: int) -> "_Lengths":
        return _Lengths(self.counts * factor, self.width)

    def __add__(self, other: "_Lengths") -> "_Lengths":
        return _Lengths(self.counts + other.counts, self.width)

    def by_length(self) -> Iterator[tuple[int, int]]:
        """Each length that a path has, and the number of its paths."""
        digits = self.counts.to_bytes(self.counts.bit_length() // 8 + self.width, "little")
        for length in range(len(digits) // self.width):
            count = int.from_bytes(digits[length * self.width : (length + 1) * self.width], "little")
            if count:
                yield length, count


@dataclass(frozen=True)
class _Moments:
    """The number of paths, the sum of their lengths, and the largest length."""

    paths: int
    total: int = 0
    longest: int = 0

    def longer(self, by: int) -> "_Moments":
        return _Moments(self.paths, self.total + by * self.paths, self.longest + by)

    def times(self, factor: int) -> "_Moments":
        return _Moments(self.paths * factor, self.total * factor, self.longest if factor else 0)

    def __add__(self, other: "_Moments") -> "_Moments":
        return _Moments(self.paths + other.paths, self.total + other.total, max(self.longest, other.longest))


M = TypeVar("M", bound=_Bundle)


def _ends(plan: Plan, one: M) -> tuple[M, M, int]:
    """Counts of paths, sums of coefficients, and the common denominator of the coefficients."""
    streams = len(plan.stages[0][0].streams)
    start = one.longer(passed(plan.stem))
    whole = shares = [start] * streams
    means = int(plan.heads > 1)  # shares are counted in units of 1/streams**means
    for _, unit in plan.units:
        whole = _through(unit, whole, scale=1)
        shares = _through(unit, shares, scale=streams) if streams > 1 else whole
        means += 1
    after = passed(plan.head)
    return _sum(whole).longer(after), _sum(shares).longer(after), streams**means


def _through(unit: Unit, streams: list[M], *, scale: int) -> list[M]:
    """The paths after a unit; bodies count `scale` times, so that a mean over `scale` streams is an integer."""
    runs: list[M] = []
    skips: list[M] = []
    for stream, paths in zip(unit.streams, streams, strict=True):
        extra = passed(stream.first) + passed(stream.merged)
        runs.append(_sum(paths.longer(length + extra) for length in body_lengths(stream)).times(scale))
        skips.append(paths.times(0 if stream.shortcut is None else 1))
    sums = {row: _shared(row, skips, unit.added.over, scale) for row in dict.fromkeys(unit.added.rows)}
    added = [sums[row] for row in unit.added.rows]
    if unit.joined:
        return [_sum([*runs, *added])]
    return [run + skip for run, skip in zip(runs, added, strict=True)]


def _shared(row: tuple[int, ...], skips: list[M], over: int, scale: int) -> M:
    """The sum of the paths in a row of shares, each weighted by its share; with scale 1 each path counts fully."""
    shares = ((min(share, 1) if scale == 1 else share * scale // over) for share in row)
    return _sum(skip.times(share) for share, skip in zip(shares, skips, strict=True) if share)


def body_lengths(stream: Stream) -> list[int]:
    """The length of each path through the bodies; in a cascade, a path can go through several of them."""
    lengths: list[int] = []
    ends: list[int] = []
    for k, body in enumerate(stream.bodies):
        starts = [0, *ends] if joins_body_before(stream, k) else [0]
        ends = [start + passed(body) for start in starts]
        lengths += ends
    return lengths


def passed(chain: Chain) -> int:
    """The length that a chain adds to a path: its convolutions and classifiers."""
    return sum(isinstance(layer.op, Product) for layer in chain)


def _sum(parts: Iterable[M]) -> M:
    first, *rest = parts
    for part in rest:
        first = first + part
    return first
