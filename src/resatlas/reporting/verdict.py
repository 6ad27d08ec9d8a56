"""What a question's runs show, in words, and what they cannot show."""

from collections.abc import Sequence
from itertools import groupby
from typing import assert_never

from resatlas.reporting.comparison import (
    Comparison,
    Row,
    compare,
    labels,
    larger_pairs,
    shared_notes,
    unequal_budget,
)
from resatlas.reporting.words import listed
from resatlas.runs.collection import View
from resatlas.runs.store import Run


def verdict(view: View, runs: Sequence[Run]) -> str:
    """The answer in a few sentences, no stronger than seeds and images allow.

    Raises: FolderError if results or predictions are missing.
    """
    if not runs:
        return "No verdict: no run is finished."
    comparison = compare(runs)
    names = dict(zip(comparison.rows, labels(comparison.rows), strict=True))
    match view:
        case "depth":
            sentences = [*_over_depth(comparison), _left_out(comparison, names)]
        case "budget" | "runs":
            sentences = [_test_errors(comparison, names), _left_out(comparison, names), _budget(comparison.rows)]
        case _:
            assert_never(view)
    return " ".join(sentence for sentence in sentences if sentence)


def notes(view: View, runs: Sequence[Run]) -> tuple[str, ...]:
    """What to keep in mind beside a verdict and its figures."""
    loss = "Training loss is the mean over the last epoch's batches, augmented, while the weights still moved."
    speed = "Images a second were taken during training on one machine, with whatever ran beside: no benchmark."
    test = "Test errors are those of the last epoch, whichever epoch was best."
    data = tuple(f"About the data: {note}." for note in shared_notes(runs))
    match view:
        case "depth":
            return loss, test, "Deeper networks of a family also have more parameters and multiply-adds.", *data
        case "budget":
            return loss, test, "One recipe serves all designs; none was tuned for one of them.", speed, *data
        case "runs":
            return loss, test, *data
        case _:
            assert_never(view)


def _test_errors(comparison: Comparison, names: dict[Row, str]) -> str:
    if comparison.smallest_points is None:
        few = "it needs two designs of two seeds each, since a single seed has no spread"
        return f"No verdict on test errors: {'; and '.join(comparison.obstacles) or few}."
    ordered = sorted(comparison.compared, key=lambda each: each.test_error_percent.mean)
    low, high = ordered[0], ordered[-1]
    largest = high.test_error_percent.mean - low.test_error_percent.mean
    could = f"{_could(comparison)} at the 5 % level (Tukey, seeds and images as random)"
    pairs = larger_pairs(comparison)
    if not pairs:
        ends = f"{_error(low, names)} and {_error(high, names)}"
        return f"{could}; the largest found is {largest:.2f} points, between {ends}: no winner."
    apart = "; ".join(
        f"{_error(above, names)} above {listed(_error(below, names) for below, _ in found)}"
        for above, found in groupby(sorted(pairs, key=lambda pair: ordered.index(pair[1])), key=lambda pair: pair[1])
    )
    even = [names[each] for each in ordered[1:] if (low, each) not in pairs]
    lowest = names[low]
    rest = f"the lowest, {lowest}, is not told apart from {listed(even)}" if even else f"{lowest} is below all others"
    return f"{could}; larger are: {apart}. With this recipe and on these data, {rest}."


def _over_depth(comparison: Comparison) -> list[str]:
    if comparison.obstacles:
        return [f"No verdict: {'; and '.join(comparison.obstacles)}."]
    families: dict[str, list[Row]] = {}
    for each in sorted(comparison.compared, key=lambda each: each.depth):
        families.setdefault(each.family, []).append(each)
    sentences = [
        _from_to(family, shown[0], shown[-1]) for family, shown in families.items() if shown[0].depth < shown[-1].depth
    ]
    if not sentences:
        return ["No verdict on depth: it needs a family at two depths, with two seeds each."]
    if comparison.smallest_points is not None:
        sentences.append(f"In test error, {_could(comparison)} at the 5 % level; smaller ones may be chance.")
    return sentences


def _from_to(family: str, shallow: Row, deep: Row) -> str:
    """One family's training loss from its least depth to its greatest; a change counts if no two seeds overlap."""
    before, after = shallow.train_loss, deep.train_loss
    if min(after.values) > max(before.values):
        change, whether = "rises", "every deep seed above every shallow one"
    elif max(after.values) < min(before.values):
        change, whether = "falls", "every deep seed below every shallow one"
    else:
        change, whether = "goes", "the seeds overlap: no clear change"
    ends = f"from {before.mean:.3g} at depth {shallow.depth} to {after.mean:.3g} at depth {deep.depth}"
    return f"The training loss of {family} {change} {ends} ({whether})."


def _left_out(comparison: Comparison, names: dict[Row, str]) -> str:
    single = [names[each] for each in comparison.single]
    return f"Shown but not judged, with a single seed: {listed(single)}." if single and comparison.compared else ""


def _budget(shown: Sequence[Row]) -> str:
    uneven = unequal_budget(shown)
    return f"The budgets are not equal: {listed(uneven)}." if uneven else ""


def _could(comparison: Comparison) -> str:
    counts = sorted({len(each.seeds) for each in comparison.compared})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    points = f"{comparison.smallest_points:.2f} points"
    return f"{seeds} seeds and {comparison.images:,} images could have shown a difference of {points}"


def _error(shown: Row, names: dict[Row, str]) -> str:
    return f"{names[shown]} ({shown.test_error_percent.mean:.2f} %)"
