"""What may tip a comparison: unequal budgets, recipes, order of the data, tuning; and what its figures leave out."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import stdev

from resatlas.comparing import seconds
from resatlas.comparing.bounds import equal
from resatlas.comparing.budgets import DECIDING, amount_in_words, amount_of
from resatlas.comparing.comparison import shared_notes
from resatlas.comparing.questions import Group, Question, differing
from resatlas.comparing.settled import Judged
from resatlas.comparing.statistics import ALIKE
from resatlas.comparing.words import listed, presentable
from resatlas.designs.catalog import families
from resatlas.recipes.recipe import Recipe
from resatlas.values.codec import encode

OPPOSED = -0.5
"""Correlation over shared seeds from which on a reader is warned."""

FEW_WRONG = 10
"""Wrong images below which a net's error is a small whole number, and its distribution far from normal."""

MOST_NAMED = 4


def warnings(question: Question) -> tuple[str, ...]:
    """What is unequal among the groups that are compared."""
    compared = tuple(dict.fromkeys(group for pair in question.pairs for group in pair))
    return (
        *question.about_labels,
        *(_unequal(compared) if compared else ()),
        *(_diverged(group) for group in question.groups if group.diverged),
        *(f"left out, not finished: {each}" for each in question.unfinished),
    )


def remarks(question: Question, pairs: Sequence[Judged] = ()) -> tuple[str, ...]:
    """What to keep in mind beside the figures."""
    return (
        *_near_zero(question),
        *_spreads(question),
        *_wider(question, pairs),
        *_opposed(pairs),
        *_sequential(pairs),
        seconds.REMARK,
        *(f"About the data: {note}." for note in shared_notes(run for group in question.groups for run in group.runs)),
    )


def _diverged(group: Group) -> str:
    seeds = f"seed{'s' if len(group.diverged) > 1 else ''} {_seeds(group.diverged)}"
    return f"diverged: {group.label} with {seeds}; counted as guessing in every mean, interval and verdict"


def _unequal(groups: Sequence[Group]) -> Iterator[str]:
    for found in (_budgets, _conditions, _order, _shared, _departures, _tuning):
        yield from found(groups)


def _budgets(groups: Sequence[Group]) -> Iterator[str]:
    for budget in DECIDING:
        low, *_, high = sorted(groups, key=lambda group: (amount_of(group, budget), group.label))
        amounts = [amount_of(each, budget) for each in (low, high)]
        if not equal(*amounts):
            few, much = (amount_in_words(budget, each) for each in amounts)
            yield f"unequal budgets: from {few} ({low.label}) to {much} ({high.label})"
    if different := seconds.differences(groups):
        yield f"seconds are not comparable: taken with {different}"


def _conditions(groups: Sequence[Group]) -> Iterator[str]:
    """Recipes, and all else that is chosen for a training, against those of the first group."""
    first = groups[0]
    for name in dict.fromkeys(name for group in groups for name in differing(first, group) if name != "design"):
        others = {getattr(each.experiment, name): each for each in reversed(groups) if name in differing(first, each)}
        for value, group in reversed(others.items()):
            own = getattr(first.experiment, name)
            change = _recipes(own, value) if name == "recipe" else f"{_short(own)} / {_short(value)}"
            yield f"unequal {name} of {first.label} and {group.label}: {change}"


def _order(groups: Sequence[Group]) -> Iterator[str]:
    """Seeds make the order of the data."""
    of: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for group in groups:
        of[group.seeds].append(group.label)
    if len(of) > 1:
        told = "; ".join(f"{_seeds(seeds)} of {listed(labels)}" for seeds, labels in of.items())
        yield f"unequal seeds, and with them order of the data: {told}; designs with different seeds are not paired"


def _shared(groups: Sequence[Group]) -> Iterator[str]:
    """Equal seeds that do not make an equal order of the data, since something else differs."""
    of = {(group.value_seeds, replace(group.experiment, design="")) for group in groups}
    if len({seeds for seeds, _ in of}) == len(of):
        return
    names = dict.fromkeys(name for group in groups for name in differing(groups[0], group) if name != "design")
    batches = sorted({group.experiment.recipe.batch for group in groups})
    words = [f"batch {listed(map(str, batches))}" if name == "recipe" and len(batches) > 1 else name for name in names]
    yield f"equal seeds, but not an equal order of the data: {listed(words)} differ, so their runs are not paired"


def _departures(groups: Sequence[Group]) -> Iterator[str]:
    shared = set.intersection(*(set(group.departures) for group in groups))
    alone = [f"{group.label}: {note}" for group in groups for note in group.departures if note not in shared]
    if alone:
        yield f"not all were trained otherwise than the recipe says; {_some(alone, '; ')}"


def _tuning(groups: Sequence[Group]) -> Iterator[str]:
    """Designs that had more chances than others, or a recipe that was made for them."""
    tried: dict[str, set[Recipe]] = defaultdict(set)
    for group in groups:
        tried[group.row.design].add(group.experiment.recipe)
    counts = {design: len(recipes) for design, recipes in tried.items()}
    if len(set(counts.values())) > 1:
        told = listed(f"{design} by {count}" for design, count in counts.items())
        yield f"unequal tuning: recipes tried are of {told}; the best of several errs less by choice alone"
    for name in sorted({group.experiment.recipe.name for group in groups}):
        homes = [family.name for family in families().values() if name in family.recipes]
        followers = [group for group in groups if group.experiment.recipe.name == name]
        strangers = sorted({group.row.family for group in followers} - set(homes))
        at_home = sorted({group.row.family for group in followers} & set(homes))
        if strangers and at_home:
            yield f"unequal tuning: the recipe {name} was made for {listed(at_home)}, not for {listed(strangers)}"


def _recipes(one: Recipe, other: Recipe) -> str:
    ours, theirs = _flat(encode(one)), _flat(encode(other))
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    told = [key for key in keys if key not in ("source", "reported", "data", "images", "unsettled")]
    changes = [f"{key} {_short(ours.get(key))} / {_short(theirs.get(key))}" for key in told]
    return _some(changes, ", ") if changes else "in their sources alone"


def _flat(values: Mapping[str, object], path: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        found |= _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return found


def _short(value: object) -> str:
    text = str(value)
    return presentable(text) if len(text) <= 24 else "…"


def _some(lines: list[str], between: str) -> str:
    more = f"{between}and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
    return between.join(lines[:MOST_NAMED]) + more


def _seeds(seeds: tuple[int, ...]) -> str:
    """Seeds in few words: 0 to 4, or 1, 5, 7."""
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return _some(list(map(str, seeds)), ", ")


def _wider(question: Question, pairs: Sequence[Judged]) -> Iterator[str]:
    """Over what the intervals are, and which is the wider."""
    trained = [pair.trained for pair in pairs if pair.trained]
    both = [(each.interval_seeds, each.interval_images) for each in trained if each.interval_images]
    if question.measure.metric != "test_error" or not trained:
        return
    if len(both) < len(trained):
        yield (
            "Where predictions.csv is missing, intervals and p are over seeds on these test images alone; they say "
            "nothing of other test images."
        )
    if both:
        wider = sum(seeds is None or images[1] - images[0] > seeds[1] - seeds[0] for seeds, images in both if images)
        yield (
            "Two intervals: over seeds, on these test images; and over seeds and test images, for others of their "
            f"kind. A claim needs both. The second is the wider in {wider} of {len(both)} pairs."
        )


def _opposed(pairs: Sequence[Judged]) -> Iterator[str]:
    """Seeds that move two designs in opposite directions, for which the intervals are too narrow."""
    found = [pair for pair in pairs if pair.correlation is not None and pair.correlation <= OPPOSED]
    if found:
        named = [f"{pair.first.label} and {pair.second.label} ({pair.correlation:+.2f})" for pair in found]
        yield (
            f"Negative correlation over shared seeds: {_some(named, '; ')}. Where it is real, 95 % intervals cover 88 "
            "to 92 %."
        )


def _sequential(pairs: Sequence[Judged]) -> Iterator[str]:
    if any(settled.verdict == "undecided" for pair in pairs for settled in pair.verdicts.values()):
        yield (
            "The level of 5 % holds for a number of seeds chosen beforehand. Adding seeds until a difference is "
            "significant makes false claims more frequent; train the seeds needed anew, or judge at a lower level."
        )


def _near_zero(question: Question) -> Iterator[str]:
    few = [
        f"{group.label} ({group.row.test_error_percent.mean / 100 * question.images:.1f})"
        for group in question.groups
        if group.row.test_error_percent.mean / 100 * question.images < FEW_WRONG
    ]
    if few:
        step = 100 / question.images
        yield (
            f"Errors near zero: of {question.images:,} images a net gets few wrong: {listed(few)}. One image is "
            f"{step:.2g} points, the errors are far from normal, and the intervals are rough there."
        )


def _spreads(question: Question) -> Iterator[str]:
    known = sorted((stdev(group.values), group.label) for group in question.groups if len(group.values) > 1)
    if len(known) > 1:
        (low, narrow), (high, wide) = known[0], known[-1]
        ends = f"{low:.2f} ({narrow}) to {high:.2f} ({wide})"
        if high < ALIKE * low:
            yield f"Standard deviations from {ends} are pooled: the largest is less than {ALIKE:g} times the least."
        else:
            yield f"Standard deviations from {ends} differ too much to pool: pairs are judged by Welch."
