"""What a question's runs show, in a few sentences; the differences are judged as `compare` judges them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import assert_never

from resatlas.recipes.regularisers import CrossEntropy
from resatlas.reporting.answering import Answered
from resatlas.reporting.judging import Judged, single_nets
from resatlas.reporting.power import POWER
from resatlas.reporting.questions import Group, differing
from resatlas.reporting.statistics import LEVEL
from resatlas.reporting.words import listed
from resatlas.runs.collection import View

BUDGETS = "Equal budgets are equal parameters and equal multiply-adds, one after the other; seconds decide nothing."

KIND = "A design's kind is the design at other sizes; between two of them its error is interpolated."


def verdict(view: View, told: Answered | None) -> tuple[str, ...]:
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


def notes(view: View, told: Answered) -> tuple[str, ...]:
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


def could_see(told: Answered) -> str:
    """The smallest difference that the pairs could have shown, in points: one figure, or from the least to the most."""
    seen = sorted(pair.trained.visible.points for pair in told.pairs if pair.trained)
    ends = dict.fromkeys(f"{points:.2f}" for points in (seen[0], seen[-1]))
    return " to ".join(ends)


def apart(told: Answered) -> tuple[Judged, ...]:
    """The pairs that are told apart as trained, by Holm."""
    return tuple(pair for pair in told.pairs if pair.trained and pair.trained.adjusted <= LEVEL)


def _test_errors(told: Answered) -> Iterator[str]:
    judged = [pair for pair in told.pairs if pair.trained]
    if judged:
        yield from _as_trained(told, judged)
        yield from _at_equal_budgets([pair for pair in told.pairs if not single_nets(pair)])
        yield _could(told, judged)
        single = [group.label for group in told.question.groups if len(group.seeds) == 1]
        if single:
            yield f"Shown but not judged, with a single seed: {listed(single)}."
    else:
        yield f"No verdict on test errors: {_why(told)}."


def _why(told: Answered) -> str:
    """Why no pair can be judged."""
    if sum(len(group.seeds) > 1 for group in told.question.groups) < 2:
        return "it needs two designs of two seeds each, since a single seed has no spread"
    return "; ".join(dict.fromkeys(reason for pair in told.pairs for reason in pair.reasons))


def _as_trained(told: Answered, judged: Sequence[Judged]) -> Iterator[str]:
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


def _could(told: Answered, judged: Sequence[Judged]) -> str:
    """How small a difference could have been seen, so that what was not seen is not taken for equal."""
    counts = sorted({len(group.seeds) for pair in judged for group in (pair.first, pair.second)})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Smaller differences may be there: with {seeds} seeds a design, one of {could_see(told)} points is seen with "
        f"a chance of {100 * POWER:.0f} % (Holm over {_pairs(len(judged))})."
    )


def _points(pair: Judged) -> float:
    return abs(pair.trained.points) if pair.trained else 0.0


def _ends(pair: Judged) -> str:
    return " and ".join(map(_error, _ordered(pair)))


def _ordered(pair: Judged) -> tuple[Group, Group]:
    """The pair with its lower error first."""
    first, second = pair.first, pair.second
    return (first, second) if _mean(first) <= _mean(second) else (second, first)


def _told_apart(found: Sequence[Judged]) -> Iterator[str]:
    ordered = sorted(map(_ordered, found), key=lambda ends: (_mean(ends[1]), ends[1].label, _mean(ends[0])))
    for high, ends in groupby(ordered, key=lambda ends: ends[1]):
        yield f"As trained, {_error(high)} has a higher test error than {listed(_error(low) for low, _ in ends)}."


def _the_lowest(judged: Sequence[Judged], found: Sequence[Judged]) -> str:
    """How the lowest error stands to those that it was held against, by name: others may be nearer."""
    lowest = min((group for pair in judged for group in (pair.first, pair.second)), key=_mean)
    rivals = [pair for pair in judged if lowest in (pair.first, pair.second)]
    even = [_other(pair, lowest).label for pair in rivals if pair not in found]
    held = listed(_other(pair, lowest).label for pair in rivals)
    how = (
        f"it is not told apart from {listed(even)}"
        if even
        else f"it is told apart from {held}, and compared with no other"
    )
    return f"With this recipe and on these data {_error(lowest)} is the lowest mean of several seeds; {how}."


def _other(pair: Judged, group: Group) -> Group:
    return pair.second if pair.first == group else pair.first


def _at_equal_budgets(pairs: Sequence[Judged]) -> Iterator[str]:
    """A sentence for each pair that is decided, and how many of the others there are."""
    decided = [said for pair in pairs if (said := _decided(pair))]
    yield from decided
    counts = Counter(pair.verdict for pair in pairs if not _decided(pair))
    left = [f"{_pairs(count)} {'are' if count > 1 else 'is'} {kind}" for kind, count in sorted(counts.items())]
    if left:
        yield f"At equal budgets {listed(left)}; resatlas compare says why."
    yield f"{BUDGETS} {KIND}" if any("'s kind" in said for said in decided) else BUDGETS


def _decided(pair: Judged) -> str:
    """The sentence of a pair that equal budgets tell apart; nothing for others."""
    first, second = pair.sides
    match pair.verdict:
        case "supported":
            return f"At equal budgets {first} errs less than {second}."
        case "contradicted":
            return f"At equal budgets {second} errs less than {first}."
        case "depends on the budget":
            return f"Whether {first} errs less than {second} depends on the budget."
        case "undecided" | "not testable here":
            return ""
        case _:
            assert_never(pair.verdict)


def _pairs(count: int) -> str:
    return f"{count} pairs" if count > 1 else "one pair"


def _over_depth(groups: Sequence[Group]) -> list[str]:
    several = sorted((group for group in groups if len(group.seeds) > 1), key=lambda group: group.row.depth)
    others = dict.fromkeys(name for group in several for name in differing(several[0], group) if name != "design")
    if others:
        return [f"No verdict on depth: the runs differ in {listed(others)} too."]
    families: dict[str, list[Group]] = {}
    for group in several:
        families.setdefault(group.row.family, []).append(group)
    sentences = [
        _from_to(family, sizes[0], sizes[-1])
        for family, sizes in families.items()
        if sizes[0].row.depth < sizes[-1].row.depth
    ]
    return sentences or ["No verdict on depth: it needs a family at two depths, with two seeds each."]


def _from_to(family: str, shallow: Group, deep: Group) -> str:
    """One family's training loss from its least depth to its greatest; a change counts if no two seeds overlap."""
    before, after = shallow.row.train_loss, deep.row.train_loss
    if min(after.values) > max(before.values):
        change, whether = "rises", "every deep seed above every shallow one"
    elif max(after.values) < min(before.values):
        change, whether = "falls", "every deep seed below every shallow one"
    else:
        change, whether = "goes", "the seeds overlap: no clear change"
    ends = f"from {before.mean:.3g} at depth {shallow.row.depth} to {after.mean:.3g} at depth {deep.row.depth}"
    return f"The training loss of {family} {change} {ends} ({whether})."


def _error(group: Group) -> str:
    return f"{group.label} ({_mean(group):.2f} %)"


def _mean(group: Group) -> float:
    return group.row.test_error_percent.mean
