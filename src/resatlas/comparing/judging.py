"""A verdict on each pair of designs and each budget, no stronger than networks, images and budgets allow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Literal, NamedTuple

from resatlas.comparing.bounds import direct, equal
from resatlas.comparing.budgets import DECIDING, Budget, amount_of, comparisons, making
from resatlas.comparing.claims import Amount, Bound, Figures, adjust, judge, measure
from resatlas.comparing.differences import Difference, difference_of
from resatlas.comparing.image_draw import ImageDraw
from resatlas.comparing.measures import TEST_ERROR, Measure
from resatlas.comparing.questions import Group, differing
from resatlas.comparing.second_opinions import RANKS, bootstrap_p, least_bootstrap_p, least_rank_p, rank_p
from resatlas.comparing.settled import Basis, Judged, SecondOpinion, Settled, Tested, Verdict
from resatlas.comparing.statistics import CLAIM_LEVEL, correlation
from resatlas.comparing.words import listed

if TYPE_CHECKING:
    from resatlas.comparing.statistics import Array

DECIDED: Mapping[int, Verdict] = {-1: "supported", 1: "contradicted", 2: "depends on the budget"}


class TestImages(NamedTuple):
    """The draw of the test images, for groups in their order."""

    groups: tuple[Group, ...]
    draw: ImageDraw


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What is asked of each pair: by which measure, within which margin, and for which difference seeds are counted."""

    measure: Measure = TEST_ERROR
    points: float = 0.5
    margin: float | None = None


def figures_of(everyone: Sequence[Group], images: TestImages | None = None) -> tuple[tuple[Group, ...], Figures]:
    """The groups of several networks, and them in numbers."""
    import numpy as np

    known = tuple(group for group in everyone if len(group.values) > 1)
    return known, Figures(
        values=tuple(np.asarray(group.values, dtype=np.float64) for group in known),
        seeds=tuple((group.value_seeds, replace(group.experiment, design="")) for group in known),
        images=_draw_of(known, images) if images else None,
    )


def _draw_of(known: Sequence[Group], images: TestImages) -> ImageDraw:
    """The draw for the known groups; not a number for those whose answers are not known."""
    import numpy as np

    covariance, within = np.full((len(known), len(known)), np.nan), np.full(len(known), np.nan)
    here = [k for k, group in enumerate(known) if group in images.groups]
    there = [images.groups.index(known[k]) for k in here]
    covariance[np.ix_(here, here)] = images.draw.covariance[np.ix_(there, there)]
    within[here] = images.draw.within[there]
    return ImageDraw(covariance, within, images.draw.count)


def judged(
    pairs: Sequence[tuple[Group, Group]],
    everyone: Sequence[Group],
    *,
    asking: Asking,
    images: TestImages | None = None,
) -> tuple[Judged, ...]:
    """The verdicts on some pairs of one question."""
    known, figures = figures_of(everyone, images)
    obstacles = [(*_obstacles(pair, known), *_clocks(pair, asking.measure)) for pair in pairs]
    free = [pair for pair, found in zip(pairs, obstacles, strict=True) if not found]
    trained = iter(_as_trained(free, known, figures, asking))
    opened = [
        Judged(
            first=pair[0],
            second=pair[1],
            trained=None if found else next(trained),
            correlation=_correlation(*pair),
            opinions=() if found else _opinions(pair[0].values, pair[1].values),
            verdicts={},
            obstacles=(*found, *_confounded(*pair)),
        )
        for pair, found in zip(pairs, obstacles, strict=True)
    ]
    asked = [pair for pair, each in zip(pairs, opened, strict=True) if not each.obstacles]
    of: dict[tuple[Group, Group], dict[Basis, Settled]] = {pair: {} for pair in asked}
    for basis in (*DECIDING, "sizes"):
        for pair, settled in _settled(basis, asked, known, figures, asking):
            of[pair][basis] = settled
    return tuple(replace(each, verdicts=of.get(pair, {})) for pair, each in zip(pairs, opened, strict=True))


def _as_trained(
    pairs: Sequence[tuple[Group, Group]], known: Sequence[Group], figures: Figures, asking: Asking
) -> list[Difference]:
    """The differences as trained, by Holm."""
    level = CLAIM_LEVEL / max(1, len(pairs))
    found = [
        difference_of(
            [direct(known.index(first), known.index(second), len(known))], figures, points=asking.points, level=level
        )
        for first, second in pairs
    ]
    adjusted = adjust([_array(each.chance) for each in found])
    return [replace(each, adjusted=float(p)) for each, p in zip(found, adjusted, strict=True)]


def _settled(
    basis: Basis, pairs: Sequence[tuple[Group, Group]], known: Sequence[Group], figures: Figures, asking: Asking
) -> Iterable[tuple[tuple[Group, Group], Settled]]:
    """The verdicts of a budget: pairs that can be compared at it share Holm; of the others, why they cannot."""
    claims: dict[tuple[Group, Group], tuple[tuple[float, Amount], ...]] = {}
    for pair in pairs:
        found = _comparisons(basis, pair, known)
        if isinstance(found, str):
            yield pair, _untestable(basis, found)
        elif found:
            claims[pair] = found
    judgements = [judge(tuple(amount for _, amount in found), figures) for found in claims.values()]
    adjusted = adjust([each.chance for each in judgements])
    within = _within(claims.values(), figures, asking.margin)
    level = CLAIM_LEVEL / max(1, len(claims))
    for place, (pair, found) in enumerate(claims.items()):
        sides = [int(side) for side in judgements[place].sides]
        tested = tuple(
            _tested(pair, amount, bounds, side, known, figures, points=asking.points, level=level)
            for (amount, bounds), side in zip(found, sides, strict=True)
        )
        chance = float(adjusted[place])
        verdict: Verdict = "undecided"
        if chance <= CLAIM_LEVEL:
            verdict = DECIDED[sides[0] if len(set(sides)) == 1 else 2]
        else:
            verdict = next((name for name, chances in within.items() if chances[place] <= CLAIM_LEVEL), "undecided")
        yield (
            pair,
            Settled(
                basis=basis,
                verdict=verdict,
                chance=chance,
                tested=tested,
                reasons=_reasons(chance, tested),
                remedy=_remedy(basis, tested) if verdict == "undecided" else "",
            ),
        )


def _remedy(basis: Basis, tested: Sequence[Tested]) -> str:
    """The command for the first amount at which sizes stand for their kind."""
    missing = [(each.kinds[0], each.amount) for each in tested if each.kinds and each.bounded]
    return making(basis, *missing[0]) if missing and basis != "sizes" else ""


def _comparisons(
    basis: Basis, pair: tuple[Group, Group], known: Sequence[Group]
) -> tuple[tuple[float, Amount], ...] | str:
    """The amounts at which a pair is compared; none where another basis is theirs."""
    first, second = pair
    sizes = first.kind == second.kind and not any(_near(budget, first, second) for budget in DECIDING)
    if basis == "sizes":
        bound = direct(known.index(first), known.index(second), len(known))
        return ((0.0, ((bound,),)),) if sizes else ()
    return () if sizes else comparisons(basis, first, second, known)


def _near(budget: Budget, first: Group, second: Group) -> bool:
    a, b = amount_of(first, budget), amount_of(second, budget)
    return a > 0 and b > 0 and equal(a, b)


def _untestable(basis: Basis, reason: str) -> Settled:
    return Settled(basis=basis, verdict="not testable here", chance=None, tested=(), reasons=(reason,))


def _within(
    claims: Iterable[tuple[tuple[float, Amount], ...]], figures: Figures, margin: float | None
) -> Mapping[Verdict, Sequence["Array"]]:
    """The p by Holm of each verdict that a margin allows, claim by claim, the strongest verdict first."""
    if margin is None:
        return {}
    width = margin
    asked: tuple[tuple[Verdict, Literal["both", "lower", "higher"]], ...] = (
        ("equivalent", "both"),
        ("first not inferior", "lower"),
        ("second not inferior", "higher"),
    )

    def chance(amounts: tuple[tuple[float, Amount], ...], side: Literal["both", "lower", "higher"]) -> "Array":
        def within(way: Sequence[Bound]) -> "Array":
            return reduce(max, [measure(bound, figures).within(width, side) for bound in way])

        return reduce(max, [reduce(min, map(within, ways)) for _, ways in amounts])

    return {verdict: adjust([chance(amounts, side) for amounts in claims]) for verdict, side in asked}


def _tested(
    pair: tuple[Group, Group],
    amount: float,
    ways: Amount,
    side: int,
    known: Sequence[Group],
    figures: Figures,
    *,
    points: float,
    level: float,
) -> Tested:
    """A difference at an amount, by the way that says most."""

    def largest(way: Sequence[Bound]) -> float:
        return max(float(measure(bound, figures).chance) for bound in way)

    way = min(ways, key=largest)
    one, other = (known.index(group) for group in pair)
    own = all(bound.weights[one] == 1 for bound in way)  # else the second is itself, and sizes stand for the first
    means = [float(each.mean) for each in figures.moments]
    itself, sign = (means[one], 1) if own else (means[other], -1)
    bounds = [itself - sign * sum(w * mean for w, mean in zip(bound.weights, means, strict=True)) for bound in way]
    sides = ((itself, itself), (min(bounds), max(bounds)))
    used = {place for bound in way for place, weight in enumerate(bound.weights) if weight}
    return Tested(
        amount=amount,
        difference=difference_of(way, figures, points=points, level=level),
        side=side,
        first=sides[0 if own else 1],
        second=sides[1 if own else 0],
        kinds=() if len(way) == 1 and used == {one, other} else (pair[1 if own else 0],),
    )


def _obstacles(pair: tuple[Group, Group], known: Sequence[Group]) -> tuple[str, ...]:
    """Why two groups have no difference with an interval."""
    single = [group.label for group in pair if group not in known]
    if single:
        return (f"{listed(single)} {'have' if len(single) > 1 else 'has'} one seed only, so no verdict",)
    if len({value for group in pair for value in group.values}) == 1:
        return (f"every run of both has the same value, {pair[0].values[0]:g}: nothing differs and nothing varies",)
    return ()


def _clocks(pair: tuple[Group, Group], measure: Measure) -> tuple[str, ...]:
    """Why two times are not comparable."""
    if measure.metric == "time_to_error" and len(pair[0].machines | pair[1].machines) > 1:
        return ("the times were taken on different machines or versions of torch",)
    return ()


def _confounded(first: Group, second: Group) -> tuple[str, ...]:
    """Why a difference would be no design's."""
    factors = differing(first, second)
    if len(factors) > 1:
        return (f"they differ in {listed(factors)} at once, and no run tells which of them does it",)
    return ()


def _correlation(first: Group, second: Group) -> float | None:
    if first.value_seeds != second.value_seeds or len(first.values) < 3:
        return None
    r = float(correlation(first.values, second.values))
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


def _reasons(chance: float, tested: Sequence[Tested]) -> tuple[str, ...]:
    if len(tested) < 2:
        return (f"p = {chance:.2g}",)
    return (f"p = {chance:.2g}", *(f"{each.difference.points:+.2f} at {each.amount:,.0f}" for each in tested))


def _array(value: float) -> "Array":
    import numpy as np

    return np.asarray(value)
