"""The rule for which of two designs has the lower error at an equal budget, on numbers only.

Values have their networks along the last axis and any axes before it, so that a simulation of many studies runs the
code that judges one. Errors are in points, or in the unit of the measure.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Literal, NamedTuple

from resatlas.comparing.image_draw import ImageDraw
from resatlas.comparing.statistics import (
    CLAIM_LEVEL,
    LEVEL,
    Estimate,
    Moments,
    difference,
    holm_by_study,
    moments,
    pooled,
    similar_deviations,
    t_quantile,
    welch,
)

if TYPE_CHECKING:
    import numpy as np

    from resatlas.comparing.statistics import Array

Side = Literal["both", "lower", "higher"]
"""The side on which a difference is smaller than a margin: both, or where the first or the second design is worse."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A contrast of the designs: weights that add up to 0, those of the first design positive.

    `slack` is the share of an error that the remaining difference of the budgets may explain.
    """

    weights: tuple[float, ...]
    slack: float = 0.0


Ways = tuple[tuple[Bound, ...], ...]
"""Ways to compare a pair at one amount of a budget: the first is lower if all bounds of one of the ways show it."""

Claim = tuple[Ways, ...]
"""A pair at each amount at which it can be compared."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """The values of all designs as arrays.

    `seeds` are equal for designs whose networks form pairs, in order. `images` is the effect of the draw of test images
    on the means, None without predictions.
    """

    values: tuple["Array", ...]
    seeds: tuple[Hashable, ...]
    images: ImageDraw | None = None

    @cached_property
    def moments(self) -> tuple[Moments, ...]:
        """Number, mean and variance of each design's networks."""
        return tuple(map(moments, self.values))


class BoundEstimate(NamedTuple):
    """A bound, estimated over seeds and over seeds and test images; `slack` is what unequal budgets may explain.

    Both estimates have the same difference. `least` is the exact p where the errors of neither side vary.
    """

    seeds: Estimate
    images: Estimate | None
    method: "np.ndarray[tuple[int, ...], np.dtype[np.str_]]"
    slack: "Array"
    least: float

    @property
    def p_seeds(self) -> "Array":
        """The two-sided p over seeds."""
        return _two_sided_p(self.seeds, self.slack, self.least)

    @property
    def p_images(self) -> "Array":
        """The two-sided p over seeds and test images; that over seeds without predictions."""
        return self.p_seeds if self.images is None else _two_sided_p(self.images, self.slack, 1.0)

    @property
    def p(self) -> "Array":
        """The larger of the two: a claim needs both."""
        import numpy as np

        return np.maximum(self.p_seeds, self.p_images)

    def p_within(self, margin: float, side: Side) -> "Array":
        """The one-sided p of the claim that the difference is smaller than the margin, in both directions or in one.

        `lower` tests whether the first design is at most `margin` worse, `higher` whether the second is.
        """
        import numpy as np

        signs = {"both": (1.0, -1.0), "lower": (1.0,), "higher": (-1.0,)}[side]
        return reduce(
            np.maximum,
            [
                _one_sided_p(estimate, margin - sign * estimate.difference - self.slack)
                for estimate in (self.seeds, self.images)
                if estimate is not None
                for sign in signs
            ],
        )


class Judgement(NamedTuple):
    """The result of a claim before any correction for other claims: p, and the side of the first design at each amount.

    A side is -1 where the first is lower, 1 where it is higher, 0 where the signs of the bounds do not agree.
    """

    p: "Array"
    sides: tuple["Array", ...]
    p_values: tuple["Array", ...]


def estimate_bound(bound: Bound, observations: Observations) -> BoundEstimate:
    """A bound with its estimates over seeds and over seeds and test images."""
    import numpy as np

    used = [place for place, weight in enumerate(bound.weights) if weight]
    weights = [bound.weights[place] for place in used]
    designs = observations.moments
    sides = [designs[place] for place in used]
    direct = sorted(weights) == [-1.0, 1.0]
    if direct:
        first, second = sorted(used, key=lambda place: -bound.weights[place])
        shared = "shared" if observations.seeds[first] == observations.seeds[second] else "other"
        seeds, method = difference(observations.values[first], observations.values[second], designs, seeds=shared)
    else:
        choices, similar = (welch(weights, sides), pooled(weights, sides, designs)), similar_deviations(designs)
        seeds = Estimate(*(np.where(similar, two, one) for one, two in zip(*choices, strict=True)))
        method = np.where(similar, "pooled", "Welch")
    means = [sum(w * m.mean for w, m in zip(weights, sides, strict=True) if (w > 0) == side) for side in (True, False)]
    slack = bound.slack * np.minimum(np.abs(means[0]), np.abs(means[1]))
    images = None
    if observations.images is not None:
        variance = observations.images.added(bound.weights, seeds.error**2)
        images = None if np.isnan(variance).any() else _with_images(seeds, variance, observations.images.count)
    counts = [side.count for side in sides]
    return BoundEstimate(seeds, images, method, slack, 2 / math.comb(sum(counts), counts[0]) if direct else 1.0)


def judge(claim: Claim, observations: Observations) -> Judgement:
    """A claim with its p: the largest of its amounts, since the claim is about all of them."""
    import numpy as np

    results = [_side_and_p(ways, observations) for ways in claim]
    sides, p_values = zip(*results, strict=True)
    return Judgement(reduce(np.maximum, p_values), sides, p_values)


def decide(judgements: Sequence[Judgement], level: float = CLAIM_LEVEL) -> tuple["Array", ...]:
    """-1 where a claim is supported, 1 where contradicted, 2 where it depends on the budget, 0 where undecided.

    By Holm over the claims, for whole arrays of simulated studies; `verdicts` words the same rule for one study.
    "Depends" needs a significant sign at one amount and the opposite one at another.
    """
    import numpy as np

    adjusted = holm_by_study([judgement.p for judgement in judgements])
    significant = [p <= level for p in adjusted]
    return tuple(
        np.where(decided, _sign(judgement.sides), 0) for decided, judgement in zip(significant, judgements, strict=True)
    )


def widened_interval(estimate: Estimate, slack: "Array", level: float = LEVEL) -> tuple["Array", "Array"]:
    """The interval of 1 - level, widened by what the budgets may explain; not a number where nothing varies."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        half = np.where(estimate.error > 0, t_quantile(level / 2, estimate.degrees) * estimate.error, np.nan) + slack
    return estimate.difference - half, estimate.difference + half


def _side_and_p(ways: Ways, observations: Observations) -> tuple["Array", "Array"]:
    """The side of the first design at one amount, and its p."""
    import numpy as np

    estimates = {bound: estimate_bound(bound, observations) for way in ways for bound in way}

    def p_of(sign: float) -> "Array":
        """The p of one sign: within a way all bounds must show it, and one way is enough."""
        by_way = (
            [np.where(sign * estimates[bound].seeds.difference > 0, estimates[bound].p, 1.0) for bound in way]
            for way in ways
        )
        return reduce(np.minimum, [reduce(np.maximum, p_values) for p_values in by_way])

    lower, higher = p_of(-1.0), p_of(1.0)
    return np.sign(lower - higher), np.minimum(lower, higher)


def _sign(sides: Sequence["Array"]) -> "Array":
    """The common side of all amounts, 2 where they differ."""
    import numpy as np

    same = reduce(np.logical_and, [side == sides[0] for side in sides])
    return np.where(same, sides[0], 2)


def _with_images(seeds: Estimate, variance: "Array", count: int) -> Estimate:
    """The estimate with the variance over the draw of images added, its degrees by Satterthwaite."""
    import numpy as np

    square = seeds.error**2
    total = square + variance
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(square > 0, square**2 / seeds.degrees, 0.0)
        degrees = total**2 / (own + variance**2 / (count - 1))
    return Estimate(seeds.difference, np.sqrt(total), degrees)


def _two_sided_p(estimate: Estimate, slack: "Array", least: float) -> "Array":
    """The two-sided p of a difference larger than the slack; `least` where the networks do not vary."""
    import numpy as np

    return np.minimum(2 * _one_sided_p(estimate, np.abs(estimate.difference) - slack, least / 2), 1.0)


def _one_sided_p(estimate: Estimate, distance: "Array", least: float = 0.5) -> "Array":
    """The one-sided p of an estimate that lies `distance` beyond its hypothesis."""
    import numpy as np
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        p = stdtr(estimate.degrees, -distance / estimate.error)
    return np.where(estimate.error > 0, p, np.where(distance > 0, least, 1.0))
