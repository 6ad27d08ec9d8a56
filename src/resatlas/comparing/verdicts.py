"""A verdict on each pair of designs and each budget, no stronger than networks, images and budgets allow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from resatlas.comparing.bounds import direct_bound, within_tolerance
from resatlas.comparing.budgets import DECIDING, Budget, amount_of, comparable_at, solve_command
from resatlas.comparing.claims import Bound, Observations, Side, Ways, estimate_bound, judge
from resatlas.comparing.compared_pair import (
    Basis,
    BudgetVerdict,
    ComparedPair,
    RobustTest,
    TestedDifference,
    Verdict,
)
from resatlas.comparing.differences import Difference, difference_of
from resatlas.comparing.image_draw import ImageDraw
from resatlas.comparing.measures import TEST_ERROR, Measure
from resatlas.comparing.questions import Group, differing
from resatlas.comparing.robust_tests import LEAST_NETWORKS, bootstrap_p, least_bootstrap_p, least_rank_p, rank_p
from resatlas.comparing.seconds import incomparable
from resatlas.comparing.statistics import CLAIM_LEVEL, correlation, holm, holm_by_study
from resatlas.values.language import known, numbered, said, with_and

if TYPE_CHECKING:
    from resatlas.comparing.statistics import Array

_DECIDED: Mapping[int, Verdict] = {-1: "supported", 1: "contradicted", 2: "depends on the budget"}

Pair = tuple[Group, Group]


class GroupDraw(NamedTuple):
    """The draw of the test images, for groups in their order."""

    groups: tuple[Group, ...]
    draw: ImageDraw


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """The measure, the difference in `points` that the seeds needed are computed for, and the margin of equivalence."""

    measure: Measure = TEST_ERROR
    points: float = 0.5
    margin: float | None = None


def observations_of(groups: Sequence[Group], images: GroupDraw | None = None) -> tuple[tuple[Group, ...], Observations]:
    """The groups of several networks, and their values."""
    import numpy as np

    several = tuple(group for group in groups if len(group.values) > 1)
    return several, Observations(
        values=tuple(np.asarray(group.values, dtype=np.float64) for group in several),
        seeds=tuple((group.value_seeds, group.experiment.conditions) for group in several),
        images=_draw_of(several, images) if images else None,
    )


def _draw_of(groups: Sequence[Group], images: GroupDraw) -> ImageDraw:
    """The draw for these groups; not a number for those without predictions."""
    import numpy as np

    covariance, within = np.full((len(groups), len(groups)), np.nan), np.full(len(groups), np.nan)
    here = [k for k, group in enumerate(groups) if group in images.groups]
    there = [images.groups.index(groups[k]) for k in here]
    covariance[np.ix_(here, here)] = images.draw.covariance[np.ix_(there, there)]
    within[here] = images.draw.within[there]
    return ImageDraw(covariance, within, images.draw.count)


def judge_pairs(
    pairs: Sequence[Pair],
    groups: Sequence[Group],
    *,
    criteria: Criteria,
    images: GroupDraw | None = None,
) -> tuple[ComparedPair, ...]:
    """The verdicts on the pairs of one question."""
    several, observations = observations_of(groups, images)
    obstacles = [(*_obstacles(pair, several), *_different_times(pair, criteria.measure)) for pair in pairs]
    free = [pair for pair, reasons in zip(pairs, obstacles, strict=True) if not reasons]
    trained = iter(_as_trained(free, several, observations, criteria))
    compared = [
        ComparedPair(
            first=pair[0],
            second=pair[1],
            trained=None if reasons else next(trained),
            correlation=_correlation(*pair),
            robust_tests=() if reasons else _robust_tests(pair[0].values, pair[1].values),
            verdicts={},
            obstacles=(*reasons, *_confounded(*pair)),
        )
        for pair, reasons in zip(pairs, obstacles, strict=True)
    ]
    testable = [pair for pair, result in zip(pairs, compared, strict=True) if not result.obstacles]
    verdicts: dict[Pair, dict[Basis, BudgetVerdict]] = {pair: {} for pair in testable}
    for basis in (*DECIDING, "sizes"):
        for pair, verdict in _budget_verdicts(basis, testable, several, observations, criteria):
            verdicts[pair][basis] = verdict
    return tuple(replace(result, verdicts=verdicts.get(pair, {})) for pair, result in zip(pairs, compared, strict=True))


def _as_trained(
    pairs: Sequence[Pair], groups: Sequence[Group], observations: Observations, criteria: Criteria
) -> list[Difference]:
    """The difference of each pair whatever the budgets, with p by Holm over all pairs."""
    level = CLAIM_LEVEL / max(1, len(pairs))
    differences = [
        difference_of(
            [direct_bound(groups.index(first), groups.index(second), len(groups))],
            observations,
            points=criteria.points,
            level=level,
        )
        for first, second in pairs
    ]
    adjusted = holm([difference.p for difference in differences])
    return [replace(difference, p_holm=p) for difference, p in zip(differences, adjusted, strict=True)]


def _budget_verdicts(
    basis: Basis, pairs: Sequence[Pair], groups: Sequence[Group], observations: Observations, criteria: Criteria
) -> Iterable[tuple[Pair, BudgetVerdict]]:
    """The verdicts at one budget: Holm over the pairs that can be compared at it, and a reason for each other pair."""
    claims: dict[Pair, tuple[tuple[float, Ways], ...]] = {}
    for pair in pairs:
        comparable = _comparable(basis, pair, groups)
        if isinstance(comparable, str):
            yield pair, _not_testable(basis, comparable)
        elif comparable:
            claims[pair] = comparable
    judgements = [judge(tuple(ways for _, ways in amounts), observations) for amounts in claims.values()]
    adjusted = holm_by_study([judgement.p for judgement in judgements])
    within = _within(claims.values(), observations, criteria.margin)
    level = CLAIM_LEVEL / max(1, len(claims))
    for place, (pair, amounts) in enumerate(claims.items()):
        sides = [int(side) for side in judgements[place].sides]
        tested = tuple(
            _tested(pair, amount, ways, side, groups, observations, points=criteria.points, level=level)
            for (amount, ways), side in zip(amounts, sides, strict=True)
        )
        p = float(adjusted[place])
        if p <= CLAIM_LEVEL:
            verdict: Verdict = _DECIDED[sides[0] if len(set(sides)) == 1 else 2]
        else:
            verdict = next((name for name, p_values in within.items() if p_values[place] <= CLAIM_LEVEL), "undecided")
        yield (
            pair,
            BudgetVerdict(
                basis=basis,
                verdict=verdict,
                p=p,
                tested=tested,
                reasons=_reasons(p, tested),
                remedy=_remedy(basis, tested) if verdict == "undecided" else "",
            ),
        )


def _remedy(basis: Basis, tested: Sequence[TestedDifference]) -> str:
    """The command for the first amount at which a design's kind represents it."""
    missing = [(at.kinds[0], at.amount) for at in tested if at.kinds and at.bounded]
    return solve_command(basis, *missing[0]) if missing and basis != "sizes" else ""


def _comparable(basis: Basis, pair: Pair, groups: Sequence[Group]) -> tuple[tuple[float, Ways], ...] | str:
    """The amounts at which a pair is compared, or the reason why there are none; empty if another basis applies."""
    first, second = pair
    sizes = first.kind == second.kind and not any(_equal_in(budget, first, second) for budget in DECIDING)
    if basis == "sizes":
        bound = direct_bound(groups.index(first), groups.index(second), len(groups))
        return ((0.0, ((bound,),)),) if sizes else ()
    return () if sizes else comparable_at(basis, first, second, groups)


def _equal_in(budget: Budget, first: Group, second: Group) -> bool:
    a, b = amount_of(first, budget), amount_of(second, budget)
    return a > 0 and b > 0 and within_tolerance(a, b)


def _not_testable(basis: Basis, reason: str) -> BudgetVerdict:
    return BudgetVerdict(basis=basis, verdict="not testable here", p=None, tested=(), reasons=(reason,))


def _within(
    claims: Iterable[tuple[tuple[float, Ways], ...]], observations: Observations, margin: float | None
) -> Mapping[Verdict, Sequence["Array"]]:
    """For each verdict that a margin allows, the p by Holm of each claim; the strongest verdict comes first."""
    if margin is None:
        return {}
    width = margin
    verdicts: tuple[tuple[Verdict, Side], ...] = (
        ("equivalent", "both"),
        ("first not inferior", "lower"),
        ("second not inferior", "higher"),
    )

    def p_of(amounts: tuple[tuple[float, Ways], ...], side: Side) -> "Array":
        def within(way: Sequence[Bound]) -> "Array":
            return reduce(max, [estimate_bound(bound, observations).p_within(width, side) for bound in way])

        return reduce(max, [reduce(min, map(within, ways)) for _, ways in amounts])

    return {verdict: holm_by_study([p_of(amounts, side) for amounts in claims]) for verdict, side in verdicts}


def _tested(
    pair: Pair,
    amount: float,
    ways: Ways,
    side: int,
    groups: Sequence[Group],
    observations: Observations,
    *,
    points: float,
    level: float,
) -> TestedDifference:
    """The difference at an amount, by the way with the smallest p."""

    def largest_p(way: Sequence[Bound]) -> float:
        return max(float(estimate_bound(bound, observations).p) for bound in way)

    way = min(ways, key=largest_p)
    one, other = (groups.index(group) for group in pair)
    own = all(bound.weights[one] == 1 for bound in way)  # else the sizes of its kind represent the first design
    means = [float(design.mean) for design in observations.moments]
    itself, sign = (means[one], 1) if own else (means[other], -1)
    bounds = [itself - sign * sum(w * mean for w, mean in zip(bound.weights, means, strict=True)) for bound in way]
    sides = ((itself, itself), (min(bounds), max(bounds)))
    used = {place for bound in way for place, weight in enumerate(bound.weights) if weight}
    return TestedDifference(
        amount=amount,
        difference=difference_of(way, observations, points=points, level=level),
        side=side,
        first=sides[0 if own else 1],
        second=sides[1 if own else 0],
        kinds=() if len(way) == 1 and used == {one, other} else (pair[1 if own else 0],),
    )


def _obstacles(pair: Pair, several: Sequence[Group]) -> tuple[str, ...]:
    """The reasons why the difference of two groups has no interval."""
    single = [group.label for group in pair if group not in several]
    if single:
        return (
            numbered(
                len(single),
                "{designs} has one seed only, so no verdict",
                "{designs} have one seed only, so no verdict",
                designs=with_and(single),
            ),
        )
    if len({value for group in pair for value in group.values}) == 1:
        return (
            said(
                "all runs of both designs have the same value, {value:g}, so there is neither difference nor spread",
                value=pair[0].values[0],
            ),
        )
    return ()


def _different_times(pair: Pair, measure: Measure) -> tuple[str, ...]:
    """The reason why two times are not comparable, if they are not."""
    reason = incomparable(pair) if measure.metric == "time_to_error" else ""
    return (said("the times are not comparable: {reason}", reason=reason),) if reason else ()


def _confounded(first: Group, second: Group) -> tuple[str, ...]:
    """The reason why a difference cannot be attributed to the design, if it cannot."""
    factors = differing(first, second)
    if len(factors) > 1:
        return (
            said(
                "they differ in {factors}, and no run shows which of these causes the difference",
                factors=with_and(map(known, factors)),
            ),
        )
    return ()


def _correlation(first: Group, second: Group) -> float | None:
    if first.value_seeds != second.value_seeds or len(first.values) < 3:
        return None
    r = float(correlation(first.values, second.values))
    return None if r != r else r  # not a number where one side does not vary


def _robust_tests(first: Sequence[float], second: Sequence[float]) -> tuple[RobustTest, ...]:
    n, m = len(first), len(second)
    enough = min(n, m) >= LEAST_NETWORKS
    return (
        RobustTest(name="rank sum", p=rank_p(first, second) if enough else None, least=least_rank_p(n, m)),
        RobustTest(name="bootstrap", p=bootstrap_p(first, second) if enough else None, least=least_bootstrap_p(n, m)),
    )


def _reasons(p: float, tested: Sequence[TestedDifference]) -> tuple[str, ...]:
    if len(tested) < 2:
        return (f"p = {p:.2g}",)
    points = (
        said("{difference:+.2f} at {amount:,.0f}", difference=at.difference.points, amount=at.amount) for at in tested
    )
    return (f"p = {p:.2g}", *points)
