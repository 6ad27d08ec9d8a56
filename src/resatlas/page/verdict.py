"""The verdict of a comparison in a few sentences, from the same tests as `resatlas compare`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, assert_never

from resatlas.comparing.compared_pair import BudgetVerdict, ComparedPair, single_nets
from resatlas.comparing.comparison import Comparison
from resatlas.comparing.differences import Difference
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group, differing
from resatlas.comparing.sentences import verdict_sentences
from resatlas.comparing.statistics import CLAIM_LEVEL, holm, moments, p_value
from resatlas.comparing.trend import Size, trend
from resatlas.page.comparison_text import global_test_sentence
from resatlas.recipes.regularisers import CrossEntropy
from resatlas.runs.collection import View
from resatlas.values.language import clauses_with_and, in_sequence, known, numbered, said, with_and
from resatlas.values.text import capitalised

BUDGETS = (
    "Each budget has its own verdict, first multiply-adds, then parameters. Seconds depend on the machine and have no "
    "verdict; resatlas bench measures them."
)

KIND = (
    "A design's kind is the design at other sizes; its error at a budget lies between those of the two nearest sizes."
)


class Trend(NamedTuple):
    """The training loss of a family, with its slope over the logarithm of all depths, and the p of that."""

    family: str
    sizes: tuple[Group, ...]
    slope: float
    p: float

    @property
    def way(self) -> str:
        """What the loss does with depth."""
        if self.p > CLAIM_LEVEL:
            return said("does not change significantly")
        return said("rises") if self.slope > 0 else said("falls")

    @property
    def ends(self) -> tuple[float, float]:
        """The mean losses at the lowest and the highest depth."""
        return self.sizes[0].row.train_loss.mean, self.sizes[-1].row.train_loss.mean

    @property
    def sentence(self) -> str:
        """The trend with its ends and its p."""
        (first, *_, last), (before, after) = [group.row.depth for group in self.sizes], self.ends
        return said(
            "The training loss of {family} {way} from {before:.3g} at depth {first} to {after:.3g} at depth {last} "
            "(trend over {depths} depths, p = {p:.2g}).",
            family=self.family,
            way=said("does not change significantly:") if self.p > CLAIM_LEVEL else self.way,
            before=before,
            first=first,
            after=after,
            last=last,
            depths=len({group.row.depth for group in self.sizes}),
            p=self.p,
        )


def verdict(view: View, comparison: Comparison | None) -> tuple[str, ...]:
    """The verdict, one sentence per line; the comparison is None if no run is finished."""
    if comparison is None:
        return (said("No verdict: no run is finished."),)
    if comparison.question.obstacles:
        return (said("No verdict: {reasons}.", reasons=said("; and ").join(comparison.question.obstacles)),)
    match view:
        case "depth":
            return (*_over_depth(comparison.question.groups), *_test_errors(comparison))
        case "budget" | "runs":
            return tuple(_test_errors(comparison))
        case _:
            assert_never(view)


def notes(view: View, comparison: Comparison) -> tuple[str, ...]:
    """Notes on how to read the verdict and the results."""
    shared = (
        said(
            "Training loss is the mean over the augmented batches of the last epoch, computed while the weights "
            "changed."
        ),
        *_least_losses(comparison.question.groups),
        said("Test errors are measured after the last epoch, even if an earlier epoch was better."),
    )
    match view:
        case "depth":
            own = (said("Deeper networks of a family also have more parameters and multiply-adds."),)
        case "budget":
            recipes = {group.experiment.recipe for group in comparison.question.groups}
            own = (said("All designs use the same recipe."),) if len(recipes) == 1 else ()
        case "runs":
            own = ()
        case _:
            assert_never(view)
    return (*shared, *own, *comparison.notes)


def _least_losses(groups: Sequence[Group]) -> Iterator[str]:
    """The lowest possible training loss, if labels are smoothed."""
    smoothed = dict.fromkeys((group.experiment.recipe.loss, len(group.runs[0].classes)) for group in groups)
    for loss, classes in smoothed:
        if isinstance(loss, CrossEntropy) and loss.smoothing and classes:
            yield said(
                "Labels are smoothed by {smoothing:g}: with {classes} classes, no training loss can be below "
                "{least:.2f}.",
                smoothing=loss.smoothing,
                classes=classes,
                least=loss.least(classes),
            )


def detectable_difference(comparison: Comparison) -> str:
    """The smallest detectable difference in points: one number, or the range over the pairs.

    Empty if no pair has a standard deviation.
    """
    leading = (_leading(pair) for pair in comparison.pairs)
    points = sorted(difference.detectable.points for difference in leading if difference and difference.detectable)
    if not points:
        return ""
    low, high = (f"{end:.2f}" for end in (points[0], points[-1]))
    return low if low == high else said("{low} to {high}", low=low, high=high)


def _leading(pair: ComparedPair) -> Difference | None:
    """The difference that decides the verdict of a pair: at the first budget, else regardless of cost."""
    tested = pair.leading.tested if pair.leading else ()
    return max((test.difference for test in tested), key=lambda difference: difference.p, default=pair.trained)


def significant_pairs(comparison: Comparison) -> tuple[ComparedPair, ...]:
    """The pairs that differ significantly regardless of cost, after Holm's correction."""
    return tuple(pair for pair in comparison.pairs if pair.trained and pair.trained.p_holm <= CLAIM_LEVEL)


def _test_errors(comparison: Comparison) -> Iterator[str]:
    judged = [pair for pair in comparison.pairs if pair.trained]
    if judged:
        if overall := global_test_sentence(comparison):
            yield capitalised(overall)
        yield from _regardless_of_cost(comparison, judged)
        yield from _at_equal_budgets(comparison, [pair for pair in comparison.pairs if not single_nets(pair)])
        if detectable_difference(comparison):
            yield _power_sentence(comparison, judged)
        single = [group.label for group in comparison.question.groups if len(group.values) == 1]
        if single:
            yield said("One seed only, so no verdict: {designs}.", designs=with_and(single))
    else:
        yield said("No verdict on test errors: {reason}.", reason=_obstacle(comparison))


def _obstacle(comparison: Comparison) -> str:
    """The reason why no pair can be tested."""
    if sum(len(group.values) > 1 for group in comparison.question.groups) < 2:
        return said("this needs two designs with two seeds each, since one seed has no standard deviation")
    return said("; ").join(dict.fromkeys(reason for pair in comparison.pairs for reason in pair.obstacles))


def _regardless_of_cost(comparison: Comparison, judged: Sequence[ComparedPair]) -> Iterator[str]:
    """The significant differences and the design of the lowest error, or the largest difference if none is."""
    significant = significant_pairs(comparison)
    if significant:
        yield from _higher_errors(significant)
        yield _lowest_error(judged, significant)
    else:
        largest = max(judged, key=points_apart)
        yield said(
            "No significant difference in test error; the largest, {points:.2f} points between {designs}, may be due "
            "to chance.",
            points=points_apart(largest),
            designs=with_and(map(with_error, lower_first(largest))),
        )


def _power_sentence(comparison: Comparison, judged: Sequence[ComparedPair]) -> str:
    """The smallest detectable difference; a reader must not take undetected differences for zero."""
    counts = sorted({len(group.values) for pair in judged for group in (pair.first, pair.second)})
    seeds = f"{counts[0]}" if len(counts) == 1 else said("{low} to {high}", low=counts[0], high=counts[-1])
    return said(
        "Smallest detectable difference with {seeds} seeds per design: {points} points ({power:.0f} % power, Holm over "
        "{pairs}). Smaller differences may exist. Choose the number of seeds beforehand: adding seeds after a look at "
        "the results makes false claims more frequent than 5 %.",
        seeds=seeds,
        points=detectable_difference(comparison),
        power=100 * POWER,
        pairs=numbered(len(judged), "one pair", "{count} pairs"),
    )


def points_apart(pair: ComparedPair) -> float:
    """The difference of a pair without its sign; 0 if it cannot be tested."""
    return abs(pair.trained.points) if pair.trained else 0.0


def lower_first(pair: ComparedPair) -> tuple[Group, Group]:
    """The groups of a pair, that of the lower error first."""
    first, second = pair.first, pair.second
    return (first, second) if first.mean <= second.mean else (second, first)


def _higher_errors(significant: Sequence[ComparedPair]) -> Iterator[str]:
    """A sentence for each design with a significantly higher error than others."""
    ordered = sorted(map(lower_first, significant), key=lambda ends: (ends[1].mean, ends[1].label, ends[0].mean))
    for high, ends in groupby(ordered, key=lambda ends: ends[1]):
        lower = with_and(with_error(low) for low, _ in ends)
        yield said(
            "Regardless of cost, {high} has a higher test error than {lower}.", high=with_error(high), lower=lower
        )


def _lowest_error(judged: Sequence[ComparedPair], significant: Sequence[ComparedPair]) -> str:
    """The design of the lowest error, and the designs that it was compared with; others may be nearer."""
    lowest = min((group for pair in judged for group in (pair.first, pair.second)), key=lambda group: group.mean)
    rivals = [pair for pair in judged if lowest in (pair.first, pair.second)]
    equal = [_other(pair, lowest).label for pair in rivals if pair not in significant]
    others = with_and(_other(pair, lowest).label for pair in rivals)
    how = (
        said("it does not differ significantly from {designs}", designs=with_and(equal))
        if equal
        else said("it differs significantly from {designs}; no other pair compared", designs=others)
    )
    return said(
        "With this recipe and these data, {design} has the lowest mean; {how}.", design=with_error(lowest), how=how
    )


def _other(pair: ComparedPair, group: Group) -> Group:
    return pair.second if pair.first == group else pair.first


def _at_equal_budgets(comparison: Comparison, pairs: Sequence[ComparedPair]) -> Iterator[str]:
    """The sentences of each pair with a decided budget, and the number of other pairs."""
    decided = [pair for pair in pairs if any(_decided(settled) for settled in pair.verdicts.values()) or pair.survivors]
    for pair in decided:
        for sentence in verdict_sentences(
            pair, comparison.question.measure, points=comparison.points, margin=comparison.margin
        ):
            # the name of a design keeps its case
            named = sentence.startswith((pair.first.label, pair.second.label))
            yield sentence if named else capitalised(sentence)
    counts = Counter(pair.verdict for pair in pairs if pair not in decided)
    others = [
        numbered(count, "one pair is {verdict}", "{count} pairs are {verdict}", verdict=known(verdict))
        for verdict, count in sorted(counts.items())
    ]
    if others:
        yield said("At equal budgets, {pairs}; resatlas compare gives the reasons.", pairs=clauses_with_and(others))
    kinds = any(tested.kinds for pair in pairs for tested in pair.tested)
    yield in_sequence([known(BUDGETS), known(KIND)] if kinds else [known(BUDGETS)])


def _decided(settled: BudgetVerdict) -> bool:
    return settled.verdict not in ("undecided", "not testable here")


def trends(groups: Sequence[Group]) -> tuple[Trend, ...] | str:
    """The training loss over depth of each family that has two depths with several seeds; p is 1 if seeds agree.

    A sentence says why nothing can be said of it.
    """
    several = sorted((group for group in groups if len(group.seeds) > 1), key=lambda group: group.row.depth)
    if others := dict.fromkeys(name for group in several for name in differing(several[0], group) if name != "design"):
        return said("No verdict on depth: the runs also differ in {others}.", others=with_and(map(known, others)))
    families: dict[str, list[Group]] = {}
    for group in several:
        families.setdefault(group.row.family, []).append(group)
    deep = {name: sizes for name, sizes in families.items() if sizes[0].row.depth < sizes[-1].row.depth}
    if not deep:
        return said("No verdict on depth: this needs a family at two depths, with two seeds each.")
    slopes = [trend([Size(size.row.depth, moments(size.row.train_loss.values)) for size in of]) for of in deep.values()]
    chances = holm([float(p_value(slope)) if slope.error > 0 else 1.0 for slope in slopes])
    found = zip(deep.items(), slopes, chances, strict=True)
    return tuple(Trend(name, tuple(sizes), float(slope.difference), p) for (name, sizes), slope, p in found)


def _over_depth(groups: Sequence[Group]) -> tuple[str, ...]:
    found = trends(groups)
    return (found,) if isinstance(found, str) else tuple(trend.sentence for trend in found)


def with_error(group: Group) -> str:
    """A design with its mean error, of which runs that diverged are a part."""
    return said("{design} ({error:.2f} %)", design=group.label, error=group.mean)
