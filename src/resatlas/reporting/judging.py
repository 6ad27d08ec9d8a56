"""A verdict on each pair of designs, no stronger than nets and budgets allow; the claim is "the first errs less".

supported: at equal parameters and at equal multiply-adds; contradicted: it errs more at both; depends on the budget:
less at one and more at the other; undecided: all that is seen may be chance; not testable here: no run could tell, for
a reason that is given. Seconds decide nothing, since they depend on whatever else a machine does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from typing import Literal, NamedTuple, cast

from resatlas.reporting.budgets import DECIDING, Budget, Contrast, amount_in_words, at_equal
from resatlas.reporting.power import (
    Matched,
    Own,
    Scheme,
    Shared,
    degrees_of,
    deviation_factors,
    nets_needed,
    scaled,
    visible,
)
from resatlas.reporting.questions import Group, differing
from resatlas.reporting.second_opinions import RANKS, bootstrap_p, least_bootstrap_p, least_rank_p, rank_p
from resatlas.reporting.statistics import (
    LEVEL,
    Method,
    Moments,
    alike,
    correlation,
    difference,
    holm,
    interval,
    moments,
    p_value,
    paired,
    pooled,
    welch,
)
from resatlas.reporting.words import listed

Verdict = Literal["supported", "contradicted", "undecided", "not testable here", "depends on the budget"]

DIRECT = (1.0, -1.0)
"""The weights of two groups, one less the other."""

Terms = tuple[tuple[Group, float], ...]
"""Groups with their weights."""


class Visible(NamedTuple):
    """The smallest difference that could have been seen, and it at the ends of the deviation's own 95 % interval."""

    points: float
    low: float
    high: float


class NetsNeeded(NamedTuple):
    """Nets a design that see a difference, likewise; None for more than anybody trains."""

    nets: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One mean error less another, in points: the 95 % interval, and what could have been seen.

    `chance` is p of this difference alone, `adjusted` that by Holm among those that are asked about together. `visible`
    and `nets` are for a chance of 80 % at the level of Holm's first step.
    """

    points: float
    low: float
    high: float
    chance: float
    adjusted: float
    method: Method
    degrees: float
    visible: Visible
    nets: NetsNeeded


Measured = Callable[[Terms], Difference]
"""How the difference of a question is measured."""


@dataclass(frozen=True, kw_only=True)
class SecondOpinion:
    """A test without the normal distribution: its p, or, of too few nets, the least p that they could ever give."""

    name: Literal["rank sum", "bootstrap"]
    chance: float | None
    least: float


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A difference at an equal budget."""

    contrast: Contrast
    difference: Difference

    @property
    def errors_percent(self) -> tuple[float, float]:
        """The errors of the two designs, or of their kinds, at this budget."""
        terms = [(weight, group.row.test_error_percent.mean) for group, weight in self.contrast.terms]
        first, second = (sum(abs(w) * mean for w, mean in terms if (w > 0) == side) for side in (True, False))
        return first, second


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A pair: as trained, at equal budgets or why not, and the verdict with its reasons.

    `correlation` is that of the errors over shared seeds. `chance` is the largest p at equal budgets, by Holm: the
    claim is about all of them. None is what cannot be told.
    """

    first: Group
    second: Group
    trained: Difference | None
    correlation: float | None
    opinions: tuple[SecondOpinion, ...]
    equal: Mapping[Budget, tuple[Tested, ...] | str]
    chance: float | None
    verdict: Verdict
    reasons: tuple[str, ...]

    @property
    def claim(self) -> str:
        """What the verdict is about."""
        return " errs less than ".join(self.sides)

    @property
    def sides(self) -> tuple[str, str]:
        """The two by name: designs, or, where sizes are interpolated, their kinds."""
        first, second = (
            group.label
            if all((group, weight) in each.contrast.terms for each in self.tested)
            else f"{group.label}'s kind"
            for group, weight in ((self.first, 1.0), (self.second, -1.0))
        )
        return first, second

    @property
    def tested(self) -> tuple[Tested, ...]:
        """All differences at equal budgets."""
        return tuple(chain.from_iterable(each for each in self.equal.values() if not isinstance(each, str)))

    @property
    def untestable(self) -> tuple[str, ...]:
        """Why some budgets cannot be made equal."""
        return tuple(each for each in self.equal.values() if isinstance(each, str))


def single_nets(pair: Judged) -> tuple[Group, ...]:
    """Those of a pair that have a single net, and so no spread."""
    return tuple(group for group in (pair.first, pair.second) if len(group.seeds) == 1)


def judged(pairs: Sequence[tuple[Group, Group]], everyone: Sequence[Group], *, points: float) -> tuple[Judged, ...]:
    """The verdicts on some pairs of one question; `points` is the difference for which nets are counted."""
    known = {group: moments(group.errors) for group in everyone if len(group.seeds) > 1}
    level = LEVEL / max(1, sum(not _obstacles(pair, known) for pair in pairs))
    measured = cache(partial(_difference, known=known, points=points, level=level))
    opened = [_opened(pair, everyone, known, measured) for pair in pairs]
    return tuple(map(_concluded, _adjusted_as_trained(opened), _adjusted_at_budgets(opened), [level] * len(opened)))


def _opened(
    pair: tuple[Group, Group], everyone: Sequence[Group], known: Mapping[Group, Moments], measured: Measured
) -> Judged:
    """A pair with its differences, unadjusted and without a verdict."""
    first, second = pair
    obstacles = _obstacles(pair, known)
    reasons = (*obstacles, *_confounded(first, second))
    blank = Judged(
        first=first,
        second=second,
        trained=None,
        correlation=_correlation(first, second),
        opinions=(),
        equal={},
        chance=None,
        verdict="not testable here",
        reasons=reasons,
    )
    if obstacles:
        return blank
    blank = replace(
        blank,
        trained=measured(((first, 1.0), (second, -1.0))),
        opinions=_opinions(first.errors, second.errors),
    )
    if reasons:
        return blank
    opened = replace(blank, equal={budget: _at(budget, pair, everyone, known, measured) for budget in DECIDING})
    return replace(opened, chance=None if opened.untestable else max(each.difference.chance for each in opened.tested))


def _at(
    budget: Budget,
    pair: tuple[Group, Group],
    everyone: Sequence[Group],
    known: Mapping[Group, Moments],
    measured: Measured,
) -> tuple[Tested, ...] | str:
    """The differences of a pair at an equal budget, or why there are none."""
    contrasts = at_equal(budget, *pair, everyone)
    if isinstance(contrasts, str):
        return contrasts
    if any(all(known[group].variance == 0 for group, _ in each.terms) for each in contrasts):
        return f"{budget}: the errors of none vary from net to net"
    return tuple(Tested(contrast=each, difference=measured(each.terms)) for each in contrasts)


def _obstacles(pair: tuple[Group, Group], known: Mapping[Group, Moments]) -> tuple[str, ...]:
    """Why two groups have no difference with an interval."""
    single = [group.label for group in pair if group not in known]
    if single:
        return (f"{listed(single)} {'have' if len(single) > 1 else 'has'} a single net, which has no spread",)
    if all(known[group].variance == 0 for group in pair):
        return ("the errors of neither vary from net to net, so nothing tells how far others would be",)
    return ()


def _confounded(first: Group, second: Group) -> tuple[str, ...]:
    """Why a difference would be no design's."""
    factors = differing(first, second)
    if len(factors) > 1:
        return (f"they differ in {listed(factors)} at once, and no run tells which of them does it",)
    return ()


def _correlation(first: Group, second: Group) -> float | None:
    if first.seeds != second.seeds or len(first.seeds) < 3:
        return None
    r = float(correlation(first.errors, second.errors))
    return None if r != r else r  # not a number where one side does not vary


def _opinions(first: Sequence[float], second: Sequence[float]) -> tuple[SecondOpinion, ...]:
    n, m = len(first), len(second)
    enough = min(n, m) >= RANKS
    return (
        SecondOpinion(name="rank sum", chance=rank_p(first, second) if enough else None, least=least_rank_p(n, m)),
        SecondOpinion(
            name="bootstrap", chance=bootstrap_p(first, second) if enough else None, least=least_bootstrap_p(n, m)
        ),
    )


def _difference(terms: Terms, *, known: Mapping[Group, Moments], points: float, level: float) -> Difference:
    """A weighted sum of the groups' means with everything that is said of it; unadjusted."""
    sides, weights = [group for group, _ in terms], tuple(weight for _, weight in terms)
    everyone, samples = tuple(known.values()), [known[group] for group in sides]
    if weights == DIRECT:
        shared: Literal["shared", "other"] = "shared" if sides[0].seeds == sides[1].seeds else "other"
        estimate, chosen = difference(sides[0].errors, sides[1].errors, everyone, seeds=shared)
        method = cast("Method", chosen.item())
    else:
        method = "pooled" if alike(everyone) else "Welch"
        estimate = pooled(weights, samples, everyone) if method == "pooled" else welch(weights, samples)
    low, high = interval(estimate)
    chance = float(p_value(estimate))
    scheme = _scheme(method, sides, weights, known)
    factors = deviation_factors(degrees_of(scheme))
    seen = visible(scheme, level=level)
    return Difference(
        points=float(estimate.difference),
        low=float(low),
        high=float(high),
        chance=chance,
        adjusted=chance,
        method=method,
        degrees=float(estimate.degrees),
        visible=Visible(seen, *(factor * seen for factor in factors)),
        nets=NetsNeeded(*(nets_needed(scaled(scheme, each), points, level=level) for each in (1.0, *factors))),
    )


def _scheme(
    method: Method, sides: Sequence[Group], weights: tuple[float, ...], known: Mapping[Group, Moments]
) -> Scheme:
    """How such a difference is measured, with the deviations that were found."""
    counts = tuple(known[group].count for group in sides)
    if method == "paired":
        found = paired(sides[0].errors, sides[1].errors)
        return Matched(deviation=float(found.error) * counts[0] ** 0.5, count=counts[0])
    if method == "pooled":
        everyone = tuple(known.values())
        degrees = sum(each.count - 1 for each in everyone)
        square = sum((each.count - 1) * float(each.variance) for each in everyone) / degrees
        return Shared(
            weights=weights, deviation=square**0.5, counts=counts, everyone=tuple(each.count for each in everyone)
        )
    return Own(weights=weights, deviations=tuple(float(known[group].variance) ** 0.5 for group in sides), counts=counts)


def _adjusted_as_trained(opened: Iterable[Judged]) -> list[Judged]:
    """Holm over the differences as trained."""
    pairs = list(opened)
    chances = iter(holm([each.trained.chance for each in pairs if each.trained]))
    return [replace(each, trained=each.trained and replace(each.trained, adjusted=next(chances))) for each in pairs]


def _adjusted_at_budgets(opened: Iterable[Judged]) -> list[float | None]:
    """Holm over the pairs that can be held against each other at both budgets, each with its largest p."""
    chances = [each.chance for each in opened]
    adjusted = iter(holm([each for each in chances if each is not None]))
    return [None if each is None else next(adjusted) for each in chances]


def _concluded(pair: Judged, chance: float | None, level: float) -> Judged:
    """The pair with its verdict; `level` is that of a single budget, for all pairs alike (Bonferroni)."""
    if not pair.equal:
        return pair
    verdict, reasons = _verdict(pair, chance, level)
    return replace(pair, chance=chance, verdict=verdict, reasons=reasons)


def _verdict(pair: Judged, chance: float | None, level: float) -> tuple[Verdict, tuple[str, ...]]:
    tested = [each.difference for each in pair.tested]
    decided = [each for each in tested if each.chance <= level] if chance is None or chance > LEVEL else tested
    if any(one.points * other.points < 0 for one in decided for other in tested):
        return "depends on the budget", tuple(map(_told, pair.tested))
    if chance is None:
        return "not testable here", pair.untestable
    if chance > LEVEL:
        return "undecided", (f"p = {chance:.2g} at equal budgets",)
    return ("supported" if tested[0].points < 0 else "contradicted"), (f"p = {chance:.2g} at equal budgets",)


def _told(tested: Tested) -> str:
    points, contrast = tested.difference.points, tested.contrast
    more = "less" if points < 0 else "more"
    return f"{abs(points):.2f} points {more} at {amount_in_words(contrast.budget, contrast.amount)}"
