"""The headlines of a question: each finding in one plain sentence, how sure it is, and the chart that shows it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from resatlas.comparing.compared_pair import ComparedPair
from resatlas.comparing.comparison import Comparison
from resatlas.comparing.measures import Measure
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group, differing
from resatlas.comparing.rows import family_and_depth
from resatlas.comparing.sentences import difference_in_words
from resatlas.comparing.statistics import mean_interval
from resatlas.page.comparison_text import global_test_sentence
from resatlas.page.figure import Figure
from resatlas.page.verdict import (
    Trend,
    detectable_difference,
    lower_first,
    points_apart,
    significant_pairs,
    trends,
    verdict,
    with_error,
)
from resatlas.runs.collection import View
from resatlas.values.language import clauses_with_and, in_sequence, known, numbered, said, with_and
from resatlas.values.text import capitalised, counted


class Headline(NamedTuple):
    """A finding in one sentence, how sure it is, and its chart, if there is one."""

    words: str
    certainty: str
    figure: Figure | None


def headlines(view: View, comparison: Comparison, figures: Mapping[str, Figure]) -> tuple[Headline, ...]:
    """The findings of a comparison, the most important one first; `figures` are its charts by their names."""
    if comparison.question.obstacles:
        return (Headline(verdict(view, comparison)[0], "", None),)
    errors = next(
        (figures[name] for name in ("error-over-depth", "test-error", "training-loss") if name in figures), None
    )
    return tuple(_findings(view, comparison, errors, figures))


def _findings(
    view: View, comparison: Comparison, errors: Figure | None, figures: Mapping[str, Figure]
) -> Iterator[Headline]:
    groups = comparison.question.groups
    judged = [pair for pair in comparison.pairs if pair.trained]
    if len(groups) == 1:
        yield _alone(groups[0], errors)
    elif significant := significant_pairs(comparison):
        yield _contrast(view, comparison, max(significant, key=points_apart), len(judged), errors)
    elif judged:
        yield _no_difference(comparison, max(judged, key=points_apart), errors)
    else:
        low, high = (choose(groups, key=lambda group: group.mean) for choose in (min, max))
        words = said(
            "{low} has the lowest mean test error, {high} the highest.", low=with_error(low), high=with_error(high)
        )
        yield Headline(words, verdict("runs", comparison)[0], errors)
    if view == "depth" and not isinstance(found := trends(groups), str):
        yield _trained(found, figures["loss-over-depth"])


def _contrast(view: View, comparison: Comparison, pair: ComparedPair, pairs: int, figure: Figure | None) -> Headline:
    """The two errors of a pair that differs significantly."""
    low, high = lower_first(pair)
    match view:
        case "depth" if low.row.depth == high.row.depth and _named_by_family(low) and _named_by_family(high):
            where = said("At depth {depth}, ", depth=low.row.depth)
            one, other = low.row.family, high.row.family
        case "budget":
            decided = pair.leading if pair.verdict in ("supported", "contradicted") else None
            equal = decided and decided.basis != "sizes" and not any(tested.kinds for tested in pair.tested)
            where = (
                said("At equal {budget}, ", budget=known(decided.basis))
                if decided and equal
                else said("Regardless of cost, ")
            )
            one, other = low.label, high.label
        case _:
            where, one, other = "", low.label, high.label
    words = said(
        "{where}{one} has a test error of {low:.2f} %, {other} of {high:.2f} %.",
        where=where,
        one=one,
        low=low.mean,
        other=other,
        high=high.mean,
    )
    return Headline(words, _certainty(pair, comparison.question.measure, pairs), figure)


def _trained(of_families: Sequence[Trend], figure: Figure) -> Headline:
    """What the training loss of each family does with depth."""
    first, *others = of_families
    ways = clauses_with_and(
        [
            said("the training loss of {family} {way}", family=first.family, way=first.way),
            *(said("that of {family} {way}", family=trend.family, way=trend.way) for trend in others),
        ]
    )
    words = said("With depth, {ways}.", ways=ways)
    return Headline(words, in_sequence(trend.sentence for trend in of_families), figure)


def _certainty(pair: ComparedPair, measure: Measure, pairs: int) -> str:
    """The difference of a pair with its intervals, p and number of seeds, and what else differs."""
    if pair.trained is None:
        return ""
    by = difference_in_words(pair.trained, measure, sign=1 if pair.trained.points > 0 else -1)
    seeds = dict.fromkeys(counted(len(group.values), "seed") for group in (pair.first, pair.second))
    of = said(" by Holm over {pairs} pairs", pairs=pairs) if pairs > 1 else ""
    sentence = said(
        "The difference is {by}; p = {p:.2g}{of}; {seeds} per design.",
        by=by,
        p=pair.trained.p_holm,
        of=of,
        seeds=with_and(seeds),
    )
    others = [known(name) for name in differing(pair.first, pair.second) if name != "design"]
    if not others:
        return sentence
    confounded = said("They also differ in {others}, so the design need not be the cause.", others=with_and(others))
    return in_sequence([sentence, confounded])


def _no_difference(comparison: Comparison, largest: ComparedPair, figure: Figure | None) -> Headline:
    """No pair differs significantly."""
    tested = sum(pair.trained is not None for pair in comparison.pairs)
    words = numbered(
        tested,
        "The two designs do not differ significantly in test error.",
        "None of {count} compared pairs differs significantly in test error.",
    )
    certainty = [
        said(
            "The largest difference, {points:.2f} points between {designs}, may be due to chance.",
            points=points_apart(largest),
            designs=with_and(map(with_error, lower_first(largest))),
        )
    ]
    if smallest := detectable_difference(comparison):
        certainty.append(
            said(
                "The smallest detectable difference is {points} points ({power:.0f} % power).",
                points=smallest,
                power=100 * POWER,
            )
        )
    if overall := global_test_sentence(comparison):
        certainty.append(capitalised(overall))
    return Headline(words, in_sequence(certainty), figure)


def _alone(group: Group, figure: Figure | None) -> Headline:
    """The error of a single design."""
    interval = mean_interval(group.values)
    certainty = (
        said(
            "95 % interval of the mean over {seeds}: {low:.2f} to {high:.2f} %.",
            seeds=counted(len(group.values), "seed"),
            low=max(0.0, interval[0]),
            high=interval[1],
        )
        if interval
        else said("One seed only, so the spread over seeds is unknown.")
    )
    words = said("{design} has a test error of {error:.2f} %.", design=group.label, error=group.mean)
    return Headline(words, certainty, figure)


def _named_by_family(group: Group) -> bool:
    """Whether no other design has its family and depth."""
    return group.label in (group.row.family, family_and_depth(group.row))
