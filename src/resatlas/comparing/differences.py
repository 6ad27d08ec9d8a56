"""A difference with its intervals, its p and its power, as a page or a table shows it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

from resatlas.comparing.claims import Bound, Figures, Measured, interval, measure
from resatlas.comparing.power import (
    POWER,
    Also,
    Matched,
    Own,
    Scheme,
    Shared,
    degrees_of,
    deviation_factors,
    error_of,
    nets_needed,
    scaled,
    visible,
)
from resatlas.comparing.statistics import Method, paired

Interval = tuple[float, float]


class Visible(NamedTuple):
    """The smallest detectable difference, and it at the ends of the deviation's own 95 % interval."""

    points: float
    low: float
    high: float


class NetsNeeded(NamedTuple):
    """Networks a design that detect a difference, likewise; None for more than anybody trains."""

    nets: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One mean less another: 95 % intervals, p, and what could have been detected.

    `interval_seeds` is None where no network of either side varies, `interval_images` where the answers to the test
    images are not known. `slack` is what unequal budgets may explain; both intervals hold it. `chance` is the larger p
    of this difference alone, `adjusted` that by Holm among those that are asked about together. `visible` and `nets`
    are for a chance of 80 % that both intervals exclude 0, at the level of Holm's first step; `visible` is None where
    nothing varies.
    """

    points: float
    interval_seeds: Interval | None
    interval_images: Interval | None
    slack: float
    chance_seeds: float
    chance_images: float | None
    adjusted: float
    method: Method
    degrees: float | None
    visible: Visible | None
    nets: NetsNeeded

    @property
    def chance(self) -> float:
        """The larger p: a claim needs both."""
        return self.chance_seeds if self.chance_images is None else max(self.chance_seeds, self.chance_images)

    @property
    def low(self) -> float:
        """The lower end of the interval over seeds; the difference itself where nothing varies."""
        return self.interval_seeds[0] if self.interval_seeds else self.points

    @property
    def high(self) -> float:
        """The upper end of the interval over seeds; the difference itself where nothing varies."""
        return self.interval_seeds[1] if self.interval_seeds else self.points


def difference_of(way: Sequence[Bound], figures: Figures, *, points: float, level: float) -> Difference:
    """What several bounds say together: the difference to the nearest of them, in intervals that hold all.

    `points` is the difference for which networks are counted, `level` that at which one claim is made.
    """
    found = [measure(bound, figures) for bound in way]
    opposed = len({float(each.seeds.difference) > 0 for each in found}) > 1
    nearest = max(found, key=lambda each: float(each.chance))
    schemes = [_scheme(*each, figures) for each in zip(way, found, strict=True)]
    chance = 1 - (1 - POWER) / len(schemes)  # all bounds at once are then exceeded with the chance POWER
    known = [_planned(each, points=points, level=level, chance=chance) for each in schemes]
    shown = [seen for seen, _ in known if seen]
    return Difference(
        points=float(nearest.seeds.difference),
        interval_seeds=_hull([_ends(each, "seeds") for each in found]),
        interval_images=_hull([_ends(each, "images") for each in found]),
        slack=max(float(each.slack) for each in found),
        chance_seeds=1.0 if opposed else float(nearest.chance_seeds),
        chance_images=None if nearest.images is None else 1.0 if opposed else float(nearest.chance_images),
        adjusted=1.0 if opposed else float(nearest.chance),
        method=cast("Method", str(nearest.method)),
        degrees=float(nearest.seeds.degrees) if nearest.seeds.error > 0 else None,
        visible=Visible(*map(max, zip(*shown, strict=True))) if len(shown) == len(known) else None,
        nets=NetsNeeded(*(_most(each) for each in zip(*(nets for _, nets in known), strict=True))),
    )


def _ends(found: Measured, over: str) -> Interval | None:
    estimate = found.seeds if over == "seeds" else found.images
    if estimate is None or not estimate.error > 0:
        return None
    low, high = interval(estimate, found.slack)
    return float(low), float(high)


def _hull(ends: Sequence[Interval | None]) -> Interval | None:
    known = [each for each in ends if each is not None]
    if len(known) < len(ends):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _most(nets: Sequence[int | None]) -> int | None:
    known = [each for each in nets if each is not None]
    return max(known) if len(known) == len(nets) else None


def _planned(
    scheme: Scheme, *, points: float, level: float, chance: float
) -> tuple[Visible | None, tuple[int | None, int | None, int | None]]:
    """What a scheme detects and needs, also at the ends of the interval of its deviation."""
    if error_of(scheme) == 0:  # then the errors are separated, or they are not: the exact p decides
        nets = next(n for n in range(2, 100) if 2 / math.comb(2 * n, n) <= level)
        return None, (nets, nets, nets)
    factors = (1.0, *deviation_factors(degrees_of(scheme)))
    at_ends = [scaled(scheme, factor) for factor in factors]
    seen = Visible(*(visible(each, level=level, chance=chance) for each in at_ends))
    needed = [nets_needed(each, points, level=level, chance=chance) for each in at_ends]
    return seen, (needed[0], needed[1], needed[2])


def _scheme(bound: Bound, found: Measured, figures: Figures) -> Scheme:
    """How such a difference is measured, with the deviations that were found."""
    used = [place for place, weight in enumerate(bound.weights) if weight]
    weights = tuple(bound.weights[place] for place in used)
    everyone = figures.moments
    counts = tuple(everyone[place].count for place in used)
    also = Also(slack=float(found.slack))
    if found.images is not None and figures.images is not None:
        variance = float(found.images.error**2 - found.seeds.error**2)
        also = replace(also, variance=variance, images=figures.images.count)
    if str(found.method) == "paired":
        first, second = (figures.values[place] for place in used)
        return Matched(deviation=float(paired(first, second).error) * counts[0] ** 0.5, count=counts[0], also=also)
    if str(found.method) == "pooled" and len(everyone) > 2:
        degrees = sum(each.count - 1 for each in everyone)
        square = sum((each.count - 1) * float(each.variance) for each in everyone) / degrees
        return Shared(
            weights=weights,
            deviation=square**0.5,
            counts=counts,
            everyone=tuple(each.count for each in everyone),
            also=also,
        )
    return Own(
        weights=weights,
        deviations=tuple(float(everyone[place].variance) ** 0.5 for place in used),
        counts=counts,
        choice="alike" if len(everyone) == 2 else "Welch",
        also=also,
    )
