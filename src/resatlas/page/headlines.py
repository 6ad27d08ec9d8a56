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
from resatlas.comparing.words import with_and
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
from resatlas.values.text import counted


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
        words = f"{with_error(low)} has the lowest mean test error, {with_error(high)} the highest."
        yield Headline(words, verdict("runs", comparison)[0], errors)
    if view == "depth" and not isinstance(found := trends(groups), str):
        yield _trained(found, figures["loss-over-depth"])


def _contrast(view: View, comparison: Comparison, pair: ComparedPair, pairs: int, figure: Figure | None) -> Headline:
    """The two errors of a pair that differs significantly."""
    low, high = lower_first(pair)
    match view:
        case "depth" if low.row.depth == high.row.depth and _named_by_family(low) and _named_by_family(high):
            where, (one, other) = f"At depth {low.row.depth}, ", (low.row.family, high.row.family)
        case "budget":
            decided = pair.leading if pair.verdict in ("supported", "contradicted") else None
            equal = decided and decided.basis != "sizes" and not any(tested.kinds for tested in pair.tested)
            where, (one, other) = (
                f"At equal {decided.basis}, " if decided and equal else "Regardless of cost, ",
                (low.label, high.label),
            )
        case _:
            where, (one, other) = "", (low.label, high.label)
    words = f"{where}{one} has a test error of {low.mean:.2f} %, {other} of {high.mean:.2f} %."
    return Headline(words, _certainty(pair, comparison.question.measure, pairs), figure)


def _trained(of_families: Sequence[Trend], figure: Figure) -> Headline:
    """What the training loss of each family does with depth."""
    ways = with_and(f"that of {trend.family} {trend.way}" for trend in of_families)
    words = f"With depth, the training loss{ways.removeprefix('that')}."
    return Headline(words, " ".join(trend.sentence for trend in of_families), figure)


def _certainty(pair: ComparedPair, measure: Measure, pairs: int) -> str:
    """The difference of a pair with its intervals, p and number of seeds, and what else differs."""
    if pair.trained is None:
        return ""
    by = difference_in_words(pair.trained, measure, sign=1 if pair.trained.points > 0 else -1)
    seeds = dict.fromkeys(counted(len(group.values), "seed") for group in (pair.first, pair.second))
    of = f" by Holm over {pairs} pairs" if pairs > 1 else ""
    others = [name for name in differing(pair.first, pair.second) if name != "design"]
    confounded = f" They also differ in {with_and(others)}, so the design need not be the cause." if others else ""
    return f"The difference is {by}; p = {pair.trained.p_holm:.2g}{of}; {with_and(seeds)} per design.{confounded}"


def _no_difference(comparison: Comparison, largest: ComparedPair, figure: Figure | None) -> Headline:
    """No pair differs significantly."""
    tested = sum(pair.trained is not None for pair in comparison.pairs)
    words = f"None of {tested} compared pairs differs" if tested > 1 else "The two designs do not differ"
    smallest = detectable_difference(comparison)
    certainty = (
        f"The largest difference, {points_apart(largest):.2f} points between "
        f"{with_and(map(with_error, lower_first(largest)))}, may be due to chance."
    )
    if smallest:
        certainty += f" The smallest detectable difference is {smallest} points ({100 * POWER:.0f} % power)."
    if overall := global_test_sentence(comparison):
        certainty += f" {overall[0].upper()}{overall[1:]}"
    return Headline(f"{words} significantly in test error.", certainty, figure)


def _alone(group: Group, figure: Figure | None) -> Headline:
    """The error of a single design."""
    interval = mean_interval(group.values)
    certainty = (
        f"95 % interval of the mean over {counted(len(group.values), 'seed')}: {max(0.0, interval[0]):.2f} to "
        f"{interval[1]:.2f} %."
        if interval
        else "One seed only, so the spread over seeds is unknown."
    )
    return Headline(f"{group.label} has a test error of {group.mean:.2f} %.", certainty, figure)


def _named_by_family(group: Group) -> bool:
    """Whether no other design has its family and depth."""
    return group.label in (group.row.family, family_and_depth(group.row))
