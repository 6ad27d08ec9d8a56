"""Which of two designs has the lower error at an equal budget: the rule, over numbers alone.

Values have their networks along the last axis, whatever stands before it, so that a simulation of many studies runs the
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
    alike,
    difference,
    moments,
    pooled,
    t_beyond,
    welch,
)

if TYPE_CHECKING:
    import numpy as np

    from resatlas.comparing.statistics import Array

Side = Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A contrast of the question's designs: weights that add up to 0, those of the first design positive.

    `slack` is the share of an error that the remaining difference of the budgets may explain.
    """

    weights: tuple[float, ...]
    slack: float = 0.0


Amount = tuple[tuple[Bound, ...], ...]
"""Ways to compare at one amount of a budget; the first is lower if it is so by all bounds of one of the ways."""

Claim = tuple[Amount, ...]
"""A pair at each amount at which it can be compared."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The designs of a question in numbers.

    `seeds` are equal for designs whose networks are pairs, in order. `images` is what the draw of test images does to
    the means, None where no answers are known.
    """

    values: tuple["Array", ...]
    seeds: tuple[Hashable, ...]
    images: ImageDraw | None = None

    @cached_property
    def moments(self) -> tuple[Moments, ...]:
        """Number, mean and variance of each design's networks."""
        return tuple(map(moments, self.values))


class Measured(NamedTuple):
    """A bound, measured: over seeds, over seeds and test images, and how far the budgets themselves may reach.

    Both estimates have the same difference. `least` is the exact p where the errors of neither side vary.
    """

    seeds: Estimate
    images: Estimate | None
    method: "np.ndarray[tuple[int, ...], np.dtype[np.str_]]"
    slack: "Array"
    least: float

    @property
    def chance_seeds(self) -> "Array":
        """The two-sided p over seeds."""
        return _chance(self.seeds, self.slack, self.least)

    @property
    def chance_images(self) -> "Array":
        """The two-sided p over seeds and test images; that over seeds where the images are not known."""
        return self.chance_seeds if self.images is None else _chance(self.images, self.slack, 1.0)

    @property
    def chance(self) -> "Array":
        """The larger of the two: a claim needs both."""
        import numpy as np

        return np.maximum(self.chance_seeds, self.chance_images)

    def within(self, margin: float, side: Literal["both", "lower", "higher"]) -> "Array":
        """The one-sided p of a difference that is no larger than the margin: either way, or on one side alone.

        `lower` asks whether the first design is at most `margin` worse, `higher` whether the second is.
        """
        import numpy as np

        signs = {"both": (1.0, -1.0), "lower": (1.0,), "higher": (-1.0,)}[side]
        return reduce(
            np.maximum,
            [
                _beyond(estimate, margin - sign * estimate.difference - self.slack)
                for estimate in (self.seeds, self.images)
                if estimate is not None
                for sign in signs
            ],
        )


class Judgement(NamedTuple):
    """What a claim comes to, without regard to other claims: p, and the side of the first design at each amount.

    A side is -1 where the first is lower, 1 where it is higher, 0 where not even the signs of all bounds agree.
    """

    chance: "Array"
    sides: tuple["Array", ...]
    chances: tuple["Array", ...]


def measure(bound: Bound, figures: Figures) -> Measured:
    """A bound with both estimates."""
    import numpy as np

    used = [place for place, weight in enumerate(bound.weights) if weight]
    weights = [bound.weights[place] for place in used]
    everyone = figures.moments
    sides = [everyone[place] for place in used]
    direct = sorted(weights) == [-1.0, 1.0]
    if direct:
        first, second = sorted(used, key=lambda place: -bound.weights[place])
        shared = "shared" if figures.seeds[first] == figures.seeds[second] else "other"
        seeds, method = difference(figures.values[first], figures.values[second], everyone, seeds=shared)
    else:
        choices, chosen = (welch(weights, sides), pooled(weights, sides, everyone)), alike(everyone)
        seeds = Estimate(*(np.where(chosen, two, one) for one, two in zip(*choices, strict=True)))
        method = np.where(chosen, "pooled", "Welch")
    means = [sum(w * m.mean for w, m in zip(weights, sides, strict=True) if (w > 0) == side) for side in (True, False)]
    slack = bound.slack * np.minimum(np.abs(means[0]), np.abs(means[1]))
    images = None
    if figures.images is not None:
        variance = figures.images.added(bound.weights, seeds.error**2)
        images = None if np.isnan(variance).any() else _with_images(seeds, variance, figures.images.count)
    counts = [each.count for each in sides]
    return Measured(seeds, images, method, slack, 2 / math.comb(sum(counts), counts[0]) if direct else 1.0)


def judge(claim: Claim, figures: Figures) -> Judgement:
    """A claim with its p: the largest of its amounts, since it is about all of them."""
    import numpy as np

    found = [_at(amount, figures) for amount in claim]
    sides, chances = zip(*found, strict=True)
    return Judgement(reduce(np.maximum, chances), sides, chances)


def verdicts(judgements: Sequence[Judgement], level: float = CLAIM_LEVEL) -> tuple["Array", ...]:
    """-1 where a claim is supported, 1 where contradicted, 2 where it depends on the budget, 0 where undecided.

    By Holm over the claims; "depends" is a sign beyond chance at one amount and the opposite one at another.
    """
    import numpy as np

    adjusted = adjust([each.chance for each in judgements])
    decided = [chance <= level for chance in adjusted]
    return tuple(np.where(yes, _verdict(each.sides), 0) for yes, each in zip(decided, judgements, strict=True))


def adjust(chances: Sequence["Array"]) -> tuple["Array", ...]:
    """Holm's adjusted p, study by study: `statistics.holm` for arrays."""
    import numpy as np

    if not chances:
        return ()
    table = np.stack(np.broadcast_arrays(*chances))
    order = np.argsort(table, axis=0, kind="stable")
    ranks = np.arange(len(chances), 0, -1).reshape(-1, *[1] * (table.ndim - 1))
    steps = np.maximum.accumulate(np.minimum(1.0, ranks * np.take_along_axis(table, order, axis=0)), axis=0)
    adjusted = np.empty_like(table)
    np.put_along_axis(adjusted, order, steps, axis=0)
    return tuple(adjusted)


def interval(estimate: Estimate, slack: "Array", level: float = LEVEL) -> tuple["Array", "Array"]:
    """The interval of 1 - level, widened by what the budgets may explain; not a number where nothing varies."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        half = np.where(estimate.error > 0, t_beyond(level / 2, estimate.degrees) * estimate.error, np.nan) + slack
    return estimate.difference - half, estimate.difference + half


def _at(amount: Amount, figures: Figures) -> tuple["Array", "Array"]:
    """The side of the first design at an amount, and its p."""
    import numpy as np

    found = {bound: measure(bound, figures) for way in amount for bound in way}

    def chance(sign: float) -> "Array":
        ways = (
            [np.where(sign * found[each].seeds.difference > 0, found[each].chance, 1.0) for each in way]
            for way in amount
        )
        return reduce(np.minimum, [reduce(np.maximum, each) for each in ways])

    lower, higher = chance(-1.0), chance(1.0)
    return np.sign(lower - higher), np.minimum(lower, higher)


def _verdict(sides: Sequence["Array"]) -> "Array":
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


def _chance(estimate: Estimate, slack: "Array", least: float) -> "Array":
    """The two-sided p of a difference that is larger than the slack; `least` where nothing varies but the means."""
    import numpy as np

    return np.minimum(2 * _beyond(estimate, np.abs(estimate.difference) - slack, least / 2), 1.0)


def _beyond(estimate: Estimate, distance: "Array", least: float = 0.5) -> "Array":
    """The one-sided p of an estimate that lies so far beyond its hypothesis."""
    import numpy as np
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        chance = stdtr(estimate.degrees, -distance / estimate.error)
    return np.where(estimate.error > 0, chance, np.where(distance > 0, least, 1.0))
