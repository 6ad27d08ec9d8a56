"""What a question's runs show, in a few sentences; the differences are judged as `compare` judges them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import assert_never

from resatlas.comparing.compared_pair import BudgetVerdict, ComparedPair, single_nets
from resatlas.comparing.comparison import Comparison
from resatlas.comparing.differences import Difference
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group, differing
from resatlas.comparing.sentences import verdict_sentences
from resatlas.comparing.statistics import CLAIM_LEVEL, holm, moments, p_value
from resatlas.comparing.trend import Size, trend
from resatlas.comparing.words import with_and
from resatlas.page.answer_text import all_at_once
from resatlas.recipes.regularisers import CrossEntropy
from resatlas.runs.collection import View

BUDGETS = (
    "Each budget has a verdict of its own, multiply-adds first, then parameters; seconds are a cost of the machine, "
    "and resatlas bench measures them."
)

KIND = "A design's kind is the design at other sizes; at a budget between two of them its error lies between theirs."


def verdict(view: View, told: Comparison | None) -> tuple[str, ...]:
    """The answer, a sentence each, no stronger than nets and budgets allow; None is a question without runs."""
    if told is None:
        return ("No verdict: no run is finished.",)
    if told.question.obstacles:
        return (f"No verdict: {'; and '.join(told.question.obstacles)}.",)
    match view:
        case "depth":
            return (*_over_depth(told.question.groups), *_test_errors(told))
        case "budget" | "runs":
            return tuple(_test_errors(told))
        case _:
            assert_never(view)


def notes(view: View, told: Comparison) -> tuple[str, ...]:
    """What to keep in mind beside a verdict and its figures."""
    shared = (
        "Training loss is the mean over the last epoch's batches, augmented, while the weights still moved.",
        *_least_losses(told.question.groups),
        "Test errors are those of the last epoch, whichever epoch was best.",
    )
    match view:
        case "depth":
            own = ("Deeper networks of a family also have more parameters and multiply-adds.",)
        case "budget":
            recipes = {group.experiment.recipe for group in told.question.groups}
            own = ("One recipe serves all designs.",) if len(recipes) == 1 else ()
        case "runs":
            own = ()
        case _:
            assert_never(view)
    return (*shared, *own, *told.notes)


def _least_losses(groups: Sequence[Group]) -> Iterator[str]:
    """Below what no training loss can come, where labels are smoothed."""
    smoothed = dict.fromkeys((each.experiment.recipe.loss, len(each.runs[0].classes)) for each in groups)
    for loss, classes in smoothed:
        if isinstance(loss, CrossEntropy) and loss.smoothing and classes:
            least = f"of {classes} classes no training loss is below {loss.least(classes):.2f}"
            yield f"Labels are smoothed by {loss.smoothing:g}: {least}."


def could_see(told: Comparison) -> str:
    """The smallest difference that the verdicts could have detected, in points: one figure, or the least and the most.

    Nothing where no pair varies.
    """
    seen = sorted(each.detectable.points for pair in told.pairs if (each := _leading(pair)) and each.detectable)
    ends = dict.fromkeys(f"{points:.2f}" for points in (seen[0], seen[-1])) if seen else ()
    return " to ".join(ends)


def _leading(pair: ComparedPair) -> Difference | None:
    """The difference on which the verdict of a pair hangs: at the first budget, else as trained."""
    tested = pair.leading.tested if pair.leading else ()
    return max((each.difference for each in tested), key=lambda each: each.p, default=pair.trained)


def apart(told: Comparison) -> tuple[ComparedPair, ...]:
    """The pairs that differ as trained, by Holm."""
    return tuple(pair for pair in told.pairs if pair.trained and pair.trained.p_holm <= CLAIM_LEVEL)


def _test_errors(told: Comparison) -> Iterator[str]:
    judged = [pair for pair in told.pairs if pair.trained]
    if judged:
        if overall := all_at_once(told):
            yield f"{overall[0].upper()}{overall[1:]}"
        yield from _as_trained(told, judged)
        yield from _at_equal_budgets(told, [pair for pair in told.pairs if not single_nets(pair)])
        if could_see(told):
            yield _could(told, judged)
        single = [group.label for group in told.question.groups if len(group.values) == 1]
        if single:
            yield f"One seed only, so no verdict: {with_and(single)}."
    else:
        yield f"No verdict on test errors: {_why(told)}."


def _why(told: Comparison) -> str:
    """Why no pair can be judged."""
    if sum(len(group.values) > 1 for group in told.question.groups) < 2:
        return "it needs two designs of two seeds each, since a single seed has no spread"
    return "; ".join(dict.fromkeys(reason for pair in told.pairs for reason in pair.obstacles))


def _as_trained(told: Comparison, judged: Sequence[ComparedPair]) -> Iterator[str]:
    """What is told apart, a sentence for each higher error, and how the lowest stands; else that there is no winner."""
    found = apart(told)
    if found:
        yield from _told_apart(found)
        yield _the_lowest(judged, found)
    else:
        largest = max(judged, key=_points)
        yield (
            f"No winner: the largest difference in test error, {_points(largest):.2f} points between {_ends(largest)}, "
            "may be chance."
        )


def _could(told: Comparison, judged: Sequence[ComparedPair]) -> str:
    """How small a difference could have been seen, so that what was not seen is not taken for equal."""
    counts = sorted({len(group.values) for pair in judged for group in (pair.first, pair.second)})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Smallest detectable difference with {seeds} seeds a design: {could_see(told)} points ({100 * POWER:.0f} % "
        f"power, Holm over {_pairs(len(judged))}). Smaller ones may exist. Choose the number of seeds beforehand: "
        "adding seeds after a look at the result makes false claims more frequent than 5 %."
    )


def _points(pair: ComparedPair) -> float:
    return abs(pair.trained.points) if pair.trained else 0.0


def _ends(pair: ComparedPair) -> str:
    return " and ".join(map(_error, _ordered(pair)))


def _ordered(pair: ComparedPair) -> tuple[Group, Group]:
    """The pair with its lower error first."""
    first, second = pair.first, pair.second
    return (first, second) if _mean(first) <= _mean(second) else (second, first)


def _told_apart(found: Sequence[ComparedPair]) -> Iterator[str]:
    ordered = sorted(map(_ordered, found), key=lambda ends: (_mean(ends[1]), ends[1].label, _mean(ends[0])))
    for high, ends in groupby(ordered, key=lambda ends: ends[1]):
        yield f"As trained, {_error(high)} has a higher test error than {with_and(_error(low) for low, _ in ends)}."


def _the_lowest(judged: Sequence[ComparedPair], found: Sequence[ComparedPair]) -> str:
    """How the lowest error stands to those that it was held against, by name: others may be nearer."""
    lowest = min((group for pair in judged for group in (pair.first, pair.second)), key=_mean)
    rivals = [pair for pair in judged if lowest in (pair.first, pair.second)]
    even = [_other(pair, lowest).label for pair in rivals if pair not in found]
    held = with_and(_other(pair, lowest).label for pair in rivals)
    how = (
        f"it does not differ significantly from {with_and(even)}"
        if even
        else f"it differs significantly from {held}; no other pair compared"
    )
    return f"With this recipe and on these data {_error(lowest)} has the lowest mean; {how}."


def _other(pair: ComparedPair, group: Group) -> Group:
    return pair.second if pair.first == group else pair.first


def _at_equal_budgets(told: Comparison, pairs: Sequence[ComparedPair]) -> Iterator[str]:
    """The sentences of each pair with a decided budget, and how many of the others there are."""
    decided = [pair for pair in pairs if any(_decided(each) for each in pair.verdicts.values()) or pair.survivors]
    for pair in decided:
        for said in verdict_sentences(pair, told.question.measure, points=told.points, margin=told.margin):
            yield f"{said[0].upper()}{said[1:]}"
    counts = Counter(pair.verdict for pair in pairs if pair not in decided)
    left = [f"{_pairs(count)} {'are' if count > 1 else 'is'} {kind}" for kind, count in sorted(counts.items())]
    if left:
        yield f"At equal budgets {with_and(left)}; resatlas compare gives the reasons."
    yield f"{BUDGETS} {KIND}" if any(each.kinds for pair in pairs for each in pair.tested) else BUDGETS


def _decided(settled: BudgetVerdict) -> bool:
    return settled.verdict not in ("undecided", "not testable here")


def _pairs(count: int) -> str:
    return f"{count} pairs" if count > 1 else "one pair"


def _over_depth(groups: Sequence[Group]) -> list[str]:
    several = sorted((group for group in groups if len(group.seeds) > 1), key=lambda group: group.row.depth)
    others = dict.fromkeys(name for group in several for name in differing(several[0], group) if name != "design")
    if others:
        return [f"No verdict on depth: the runs differ in {with_and(others)} too."]
    families: dict[str, list[Group]] = {}
    for group in several:
        families.setdefault(group.row.family, []).append(group)
    trained = {name: sizes for name, sizes in families.items() if sizes[0].row.depth < sizes[-1].row.depth}
    chances = holm([_trend(sizes) for sizes in trained.values()])
    sentences = [_from_to(name, sizes, p) for (name, sizes), p in zip(trained.items(), chances, strict=True)]
    return sentences or ["No verdict on depth: it needs a family at two depths, with two seeds each."]


def _trend(sizes: Sequence[Group]) -> float:
    """The p of a family's training loss over the logarithm of its depth; 1 where no seed varies."""
    slope = trend([Size(group.row.depth, moments(group.row.train_loss.values)) for group in sizes])
    return float(p_value(slope)) if slope.error > 0 else 1.0


def _from_to(family: str, sizes: Sequence[Group], p: float) -> str:
    """One family's training loss from its least depth to its greatest, with the p of the trend over all of them."""
    before, after = sizes[0].row.train_loss.mean, sizes[-1].row.train_loss.mean
    ends = f"from {before:.3g} at depth {sizes[0].row.depth} to {after:.3g} at depth {sizes[-1].row.depth}"
    depths = len({group.row.depth for group in sizes})
    how = f"trend over {depths} depths, p = {p:.2g}"
    if p > CLAIM_LEVEL:
        return f"The training loss of {family} goes {ends}: no change beyond chance ({how})."
    return f"The training loss of {family} {'rises' if after > before else 'falls'} {ends} ({how})."


def _error(group: Group) -> str:
    return f"{group.label} ({_mean(group):.2f} %)"


def _mean(group: Group) -> float:
    return group.row.test_error_percent.mean
