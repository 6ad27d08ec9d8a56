"""Reasons why a comparison may be unfair, such as unequal budgets, recipes, data order or tuning, and its limits."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import stdev

from resatlas.comparing import seconds
from resatlas.comparing.bounds import within_tolerance
from resatlas.comparing.budgets import DECIDING, amount_in_words, amount_of
from resatlas.comparing.compared_pair import ComparedPair
from resatlas.comparing.questions import Group, GroupedQuestion, differing
from resatlas.comparing.rows import data_notes
from resatlas.comparing.statistics import POOLING_RATIO
from resatlas.comparing.words import presentable, with_and
from resatlas.designs.catalog import families
from resatlas.recipes.recipe import Recipe
from resatlas.runs.record import LABELS
from resatlas.values.codec import encode

_OPPOSED = -0.5
"""Correlation over shared seeds at or below which a note warns the reader."""

_FEW_WRONG = 10
"""Misclassified images below which an error is a small whole number, with a distribution far from normal."""

_MOST_NAMED = 4


def warnings(question: GroupedQuestion) -> tuple[str, ...]:
    """The inequalities between the groups that are compared."""
    compared = tuple(dict.fromkeys(group for pair in question.pairs for group in pair))
    return (
        *question.label_notes,
        *(_unequal(compared) if compared else ()),
        *(_diverged(group) for group in question.groups if group.diverged),
        *(f"left out, not finished: {run}" for run in question.unfinished),
    )


def remarks(question: GroupedQuestion, pairs: Sequence[ComparedPair] = ()) -> tuple[str, ...]:
    """Notes on the limits of the values."""
    return (
        *_measure(question),
        *_near_zero(question),
        *_spreads(question),
        *_wider_interval(question, pairs),
        *_opposed(pairs),
        *_sequential(pairs),
        seconds.REMARK,
        *(f"About the data: {note}." for note in data_notes(run for group in question.groups for run in group.runs)),
    )


def _measure(question: GroupedQuestion) -> Iterator[str]:
    """What the errors are, unless they are shares of images."""
    yield from (f"The test error is {measure}, in percent." for measure in _measures(question))


def _measures(question: GroupedQuestion) -> list[str]:
    """The measures of the errors other than shares of images."""
    return sorted({run.outcome.test.measure for group in question.groups for run in group.runs} - {LABELS})


def _diverged(group: Group) -> str:
    runs = f"seed{'s' if len(group.diverged) > 1 else ''} {_seeds(group.diverged)}"
    return f"diverged: {group.label} with {runs}; counted at chance level in every mean, interval and verdict"


def _unequal(groups: Sequence[Group]) -> Iterator[str]:
    for check in (_budgets, _conditions, _seed_sets, _data_order, _departures, _tuning):
        yield from check(groups)


def _budgets(groups: Sequence[Group]) -> Iterator[str]:
    for budget in DECIDING:
        low, *_, high = sorted(groups, key=lambda group: (amount_of(group, budget), group.label))
        amounts = [amount_of(group, budget) for group in (low, high)]
        if not within_tolerance(*amounts):
            few, much = (amount_in_words(budget, amount) for amount in amounts)
            yield f"unequal budgets: from {few} ({low.label}) to {much} ({high.label})"
    if reason := seconds.incomparable(groups):
        yield f"seconds are not comparable: {reason}"


def _conditions(groups: Sequence[Group]) -> Iterator[str]:
    """Recipes, and all other settings of a training, against those of the first group."""
    first = groups[0]
    for name in dict.fromkeys(name for group in groups for name in differing(first, group) if name != "design"):
        others = {
            getattr(group.experiment, name): group for group in reversed(groups) if name in differing(first, group)
        }
        for value, group in reversed(others.items()):
            own = getattr(first.experiment, name)
            change = _recipe_changes(own, value) if name == "recipe" else f"{_short(own)} / {_short(value)}"
            yield f"unequal {name} of {first.label} and {group.label}: {change}"


def _seed_sets(groups: Sequence[Group]) -> Iterator[str]:
    """Different seeds, which determine the order of the data."""
    labels: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for group in groups:
        labels[group.seeds].append(group.label)
    if len(labels) > 1:
        sets = "; ".join(f"{_seeds(seeds)} of {with_and(of)}" for seeds, of in labels.items())
        yield f"unequal seeds, so unequal order of the data: {sets}; designs with different seeds are not paired"


def _data_order(groups: Sequence[Group]) -> Iterator[str]:
    """Equal seeds that do not give an equal order of the data, because something else differs."""
    conditions = {(group.value_seeds, group.experiment.conditions) for group in groups}
    if len({seeds for seeds, _ in conditions}) == len(conditions):
        return
    names = dict.fromkeys(name for group in groups for name in differing(groups[0], group) if name != "design")
    batches = sorted({group.experiment.recipe.batch for group in groups})
    causes = [
        f"batch ({with_and(map(str, batches))})" if name == "recipe" and len(batches) > 1 else name for name in names
    ]
    yield f"equal seeds, but unequal order of the data because of unequal {with_and(causes)}; these are not paired"


def _departures(groups: Sequence[Group]) -> Iterator[str]:
    shared = set.intersection(*(set(group.departures) for group in groups))
    alone = [f"{group.label}: {note}" for group in groups for note in group.departures if note not in shared]
    if alone:
        yield f"unequal departures from the recipe: {_first_few(alone, '; ')}"


def _tuning(groups: Sequence[Group]) -> Iterator[str]:
    """Designs with more recipes than others, or with a recipe that was made for them."""
    tried: dict[str, set[Recipe]] = defaultdict(set)
    for group in groups:
        tried[group.row.design].add(group.experiment.recipe)
    counts = {design: len(recipes) for design, recipes in tried.items()}
    if len(set(counts.values())) > 1:
        numbers = with_and(f"{count} for {design}" for design, count in counts.items())
        yield f"unequal tuning: recipes tried: {numbers}; the best of several has a lower error by selection alone"
    for name in sorted({group.experiment.recipe.name for group in groups}):
        homes = [family.name for family in families().values() if name in family.recipes]
        followers = [group for group in groups if group.experiment.recipe.name == name]
        strangers = sorted({group.row.family for group in followers} - set(homes))
        at_home = sorted({group.row.family for group in followers} & set(homes))
        if strangers and at_home:
            yield f"unequal tuning: the recipe {name} was made for {with_and(at_home)}, not for {with_and(strangers)}"


def _recipe_changes(one: Recipe, other: Recipe) -> str:
    ours, theirs = _flat(encode(one)), _flat(encode(other))
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    shown = [key for key in keys if key not in ("source", "reported", "data", "images", "unsettled")]
    changes = [f"{key} {_short(ours.get(key))} / {_short(theirs.get(key))}" for key in shown]
    return _first_few(changes, ", ") if changes else "only in their sources"


def _flat(values: Mapping[str, object], path: str = "") -> dict[str, object]:
    """Nested values under dotted keys."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return flat


def _short(value: object) -> str:
    text = str(value)
    return presentable(text) if len(text) <= 24 else "…"


def _first_few(lines: list[str], between: str) -> str:
    more = f"{between}and {len(lines) - _MOST_NAMED} more" if len(lines) > _MOST_NAMED else ""
    return between.join(lines[:_MOST_NAMED]) + more


def _seeds(seeds: tuple[int, ...]) -> str:
    """Seeds in short form: 0 to 4, or 1, 5, 7."""
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return _first_few(list(map(str, seeds)), ", ")


def _wider_interval(question: GroupedQuestion, pairs: Sequence[ComparedPair]) -> Iterator[str]:
    """The sources of variation in the intervals, and which interval is wider."""
    trained = [pair.trained for pair in pairs if pair.trained]
    both = [
        (difference.interval_seeds, difference.interval_images) for difference in trained if difference.interval_images
    ]
    if question.measure.metric != "test_error" or not trained:
        return
    if len(both) < len(trained):
        yield (
            "Where predictions.csv is missing, intervals and p are over seeds only and hold for these test images; "
            "they say nothing about other test images."
        )
    if both:
        wider = sum(seeds is None or images[1] - images[0] > seeds[1] - seeds[0] for seeds, images in both if images)
        yield (
            "There are two intervals: over seeds, for these test images; and over seeds and test images, for other "
            f"images of the same kind. A claim needs both. The second is wider in {wider} of {len(both)} pairs."
        )


def _opposed(pairs: Sequence[ComparedPair]) -> Iterator[str]:
    """Pairs whose errors move in opposite directions over shared seeds, which makes the intervals too narrow."""
    named = [
        f"{pair.first.label} and {pair.second.label} ({pair.correlation:+.2f})"
        for pair in pairs
        if pair.correlation is not None and pair.correlation <= _OPPOSED
    ]
    if named:
        yield (
            f"Negative correlation over shared seeds: {_first_few(named, '; ')}. If it is real, 95 % intervals cover "
            "only 88 to 92 %."
        )


def _sequential(pairs: Sequence[ComparedPair]) -> Iterator[str]:
    if any(verdict.verdict == "undecided" for pair in pairs for verdict in pair.verdicts.values()):
        yield (
            "The level of 5 % holds for a number of seeds chosen beforehand. Adding seeds until a difference is "
            "significant makes false claims more frequent; train a new set of seeds, as many as needed, or use a lower "
            "level."
        )


def _near_zero(question: GroupedQuestion) -> Iterator[str]:
    few = [
        f"{group.label} ({group.row.test_error_percent.mean / 100 * question.images:.1f})"
        for group in question.groups
        if group.row.test_error_percent.mean / 100 * question.images < _FEW_WRONG
    ]
    if few and not _measures(question):
        step = 100 / question.images
        yield (
            f"Errors near zero: on average few of the {question.images:,} images are misclassified: {with_and(few)}. "
            f"One image is {step:.2g} points, the errors are far from normal, and the intervals are only approximate."
        )


def _spreads(question: GroupedQuestion) -> Iterator[str]:
    known = sorted((stdev(group.values), group.label) for group in question.groups if len(group.values) > 1)
    if len(known) > 1:
        (low, narrow), (high, wide) = known[0], known[-1]
        ends = f"{low:.2f} ({narrow}) to {high:.2f} ({wide})"
        if high < POOLING_RATIO * low:
            yield (
                f"Standard deviations from {ends} are pooled: the largest is less than {POOLING_RATIO:g} times the "
                "smallest."
            )
        else:
            yield f"Standard deviations from {ends} differ too much to pool: pairs are tested with Welch's t test."
