"""A difference with its intervals, its p and its power, as a page or a table shows it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

from resatlas.comparing.claims import Bound, BoundEstimate, Observations, estimate_bound, widened_interval
from resatlas.comparing.power import (
    POWER,
    Allowance,
    PairedScheme,
    PooledScheme,
    Scheme,
    WelchScheme,
    degrees_of,
    detectable,
    deviation_factors,
    error_of,
    nets_needed,
    scaled,
)
from resatlas.comparing.statistics import Estimate, Method, paired

Interval = tuple[float, float]


class Detectable(NamedTuple):
    """The smallest detectable difference, also for the ends of the 95 % interval of the deviation."""

    points: float
    low: float
    high: float


class NetsNeeded(NamedTuple):
    """Networks per design that detect a difference, also for the ends of that interval; None above MOST_NETS."""

    nets: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One mean minus another: 95 % intervals, p, and the detectable difference.

    `interval_seeds` is None where no network of either side varies, `interval_images` where predictions are missing.
    `slack` is what unequal budgets may explain; both intervals include it. `p` is the larger p of this difference
    alone, `p_holm` is adjusted by Holm over the differences that are tested together. `detectable` and `nets` are for a
    power of 80 % that both intervals exclude 0, at the level of Holm's first step; `detectable` is None where nothing
    varies.
    """

    points: float
    interval_seeds: Interval | None
    interval_images: Interval | None
    slack: float
    p_seeds: float
    p_images: float | None
    p_holm: float
    method: Method
    degrees: float | None
    detectable: Detectable | None
    nets: NetsNeeded

    @property
    def p(self) -> float:
        """The larger p: a claim needs both."""
        return self.p_seeds if self.p_images is None else max(self.p_seeds, self.p_images)

    @property
    def low(self) -> float:
        """The lower end of the interval over seeds; the difference itself where nothing varies."""
        return self.interval_seeds[0] if self.interval_seeds else self.points

    @property
    def high(self) -> float:
        """The upper end of the interval over seeds; the difference itself where nothing varies."""
        return self.interval_seeds[1] if self.interval_seeds else self.points


def difference_of(way: Sequence[Bound], observations: Observations, *, points: float, level: float) -> Difference:
    """The difference to the nearest of several bounds, with intervals that contain those of all bounds.

    `points` is the difference for which the networks needed are computed, `level` that at which one claim is made.
    """
    estimates = [estimate_bound(bound, observations) for bound in way]
    opposed = len({float(estimate.seeds.difference) > 0 for estimate in estimates}) > 1
    nearest = max(estimates, key=lambda estimate: float(estimate.p))
    schemes = [_scheme(bound, estimate, observations) for bound, estimate in zip(way, estimates, strict=True)]
    target = 1 - (1 - POWER) / len(schemes)  # all bounds at once are then exceeded with the probability POWER
    plans = [_detectable_and_needed(scheme, points=points, level=level, target=target) for scheme in schemes]
    known = [smallest for smallest, _ in plans if smallest]
    return Difference(
        points=float(nearest.seeds.difference),
        interval_seeds=_hull([_interval(estimate.seeds, estimate) for estimate in estimates]),
        interval_images=_hull([_interval(estimate.images, estimate) for estimate in estimates]),
        slack=max(float(estimate.slack) for estimate in estimates),
        p_seeds=1.0 if opposed else float(nearest.p_seeds),
        p_images=None if nearest.images is None else 1.0 if opposed else float(nearest.p_images),
        p_holm=1.0 if opposed else float(nearest.p),
        method=cast("Method", str(nearest.method)),
        degrees=float(nearest.seeds.degrees) if nearest.seeds.error > 0 else None,
        detectable=Detectable(*map(max, zip(*known, strict=True))) if len(known) == len(plans) else None,
        nets=NetsNeeded(*(_largest(counts) for counts in zip(*(nets for _, nets in plans), strict=True))),
    )


def _interval(estimate: Estimate | None, bound: BoundEstimate) -> Interval | None:
    if estimate is None or not estimate.error > 0:
        return None
    low, high = widened_interval(estimate, bound.slack)
    return float(low), float(high)


def _hull(intervals: Sequence[Interval | None]) -> Interval | None:
    """The smallest interval that contains all; None if one is missing."""
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _largest(nets: Sequence[int | None]) -> int | None:
    known = [count for count in nets if count is not None]
    return max(known) if len(known) == len(nets) else None


def _detectable_and_needed(
    scheme: Scheme, *, points: float, level: float, target: float
) -> tuple[Detectable | None, tuple[int | None, int | None, int | None]]:
    """The detectable difference of a scheme and the networks needed, also at the ends of its deviation's interval."""
    if error_of(scheme) == 0:  # then the errors are separated or not, and the exact p decides
        nets = next(n for n in range(2, 100) if 2 / math.comb(2 * n, n) <= level)
        return None, (nets, nets, nets)
    factors = (1.0, *deviation_factors(degrees_of(scheme)))
    at_ends = [scaled(scheme, factor) for factor in factors]
    smallest = Detectable(*(detectable(end, level=level, target=target) for end in at_ends))
    needed = [nets_needed(end, points, level=level, target=target) for end in at_ends]
    return smallest, (needed[0], needed[1], needed[2])


def _scheme(bound: Bound, estimate: BoundEstimate, observations: Observations) -> Scheme:
    """The scheme with which a bound is tested, with the observed deviations."""
    used = [place for place, weight in enumerate(bound.weights) if weight]
    weights = tuple(bound.weights[place] for place in used)
    designs = observations.moments
    counts = tuple(designs[place].count for place in used)
    allowance = Allowance(slack=float(estimate.slack))
    if estimate.images is not None and observations.images is not None:
        variance = float(estimate.images.error**2 - estimate.seeds.error**2)
        allowance = replace(allowance, variance=variance, images=observations.images.count)
    if str(estimate.method) == "paired":
        first, second = (observations.values[place] for place in used)
        deviation = float(paired(first, second).error) * counts[0] ** 0.5
        return PairedScheme(deviation=deviation, count=counts[0], allowance=allowance)
    if str(estimate.method) == "pooled" and len(designs) > 2:
        degrees = sum(design.count - 1 for design in designs)
        square = sum((design.count - 1) * float(design.variance) for design in designs) / degrees
        return PooledScheme(
            weights=weights,
            deviation=square**0.5,
            counts=counts,
            all_counts=tuple(design.count for design in designs),
            allowance=allowance,
        )
    return WelchScheme(
        weights=weights,
        deviations=tuple(float(designs[place].variance) ** 0.5 for place in used),
        counts=counts,
        pooling="if similar" if len(designs) == 2 else "never",
        allowance=allowance,
    )
