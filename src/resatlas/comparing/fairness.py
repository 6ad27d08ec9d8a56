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
from resatlas.comparing.words import presentable
from resatlas.designs.catalog import families
from resatlas.recipes.recipe import Recipe
from resatlas.runs.record import LABELS
from resatlas.values.codec import encode
from resatlas.values.language import known, numbered, said, with_and

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
        *map(left_out, question.unfinished),
    )


def left_out(run: str) -> str:
    """The warning about a run that is not finished, given with its status."""
    return said("left out, not finished: {run}", run=known(run))


def remarks(question: GroupedQuestion, pairs: Sequence[ComparedPair] = ()) -> tuple[str, ...]:
    """Notes on the limits of the values."""
    return (
        *_measure(question),
        *_near_zero(question),
        *_spreads(question),
        *_wider_interval(question, pairs),
        *_opposed(pairs),
        *_sequential(pairs),
        seconds.remark(),
        *(
            said("About the data: {note}.", note=known(note))
            for note in data_notes(run for group in question.groups for run in group.runs)
        ),
    )


def _measure(question: GroupedQuestion) -> Iterator[str]:
    """What the errors are, unless they are shares of images."""
    for measure in _measures(question):
        yield said("The test error is {measure}, in percent.", measure=known(measure))


def _measures(question: GroupedQuestion) -> list[str]:
    """The measures of the errors other than shares of images."""
    return sorted({run.outcome.test.measure for group in question.groups for run in group.runs} - {LABELS})


def _diverged(group: Group) -> str:
    return numbered(
        len(group.diverged),
        "diverged: {design} with seed {seeds}; counted at chance level in every mean, interval and verdict",
        "diverged: {design} with seeds {seeds}; counted at chance level in every mean, interval and verdict",
        design=group.label,
        seeds=_seeds(group.diverged),
    )


def _unequal(groups: Sequence[Group]) -> Iterator[str]:
    for check in (_budgets, _conditions, _seed_sets, _data_order, _departures, _tuning):
        yield from check(groups)


def _budgets(groups: Sequence[Group]) -> Iterator[str]:
    for budget in DECIDING:
        low, *_, high = sorted(groups, key=lambda group: (amount_of(group, budget), group.label))
        amounts = [amount_of(group, budget) for group in (low, high)]
        if not within_tolerance(*amounts):
            few, much = (amount_in_words(budget, amount) for amount in amounts)
            yield said(
                "unequal budgets: from {few} ({low}) to {much} ({high})",
                few=few,
                low=low.label,
                much=much,
                high=high.label,
            )
    if reason := seconds.incomparable(groups):
        yield said("seconds are not comparable: {reason}", reason=reason)


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
            yield said(
                "unequal {setting} of {first} and {second}: {change}",
                setting=known(name),
                first=first.label,
                second=group.label,
                change=change,
            )


def _seed_sets(groups: Sequence[Group]) -> Iterator[str]:
    """Different seeds, which determine the order of the data."""
    labels: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for group in groups:
        labels[group.seeds].append(group.label)
    if len(labels) > 1:
        sets = said("; ").join(
            said("{seeds} of {designs}", seeds=_seeds(seeds), designs=with_and(of)) for seeds, of in labels.items()
        )
        yield said(
            "unequal seeds, so unequal order of the data: {sets}; designs with different seeds are not paired",
            sets=sets,
        )


def _data_order(groups: Sequence[Group]) -> Iterator[str]:
    """Equal seeds that do not give an equal order of the data, because something else differs."""
    conditions = {(group.value_seeds, group.experiment.conditions) for group in groups}
    if len({seeds for seeds, _ in conditions}) == len(conditions):
        return
    names = dict.fromkeys(name for group in groups for name in differing(groups[0], group) if name != "design")
    batches = sorted({group.experiment.recipe.batch for group in groups})
    causes = [
        said("batch ({sizes})", sizes=with_and(map(str, batches)))
        if name == "recipe" and len(batches) > 1
        else known(name)
        for name in names
    ]
    yield said(
        "equal seeds, but unequal order of the data because of unequal {causes}; these are not paired",
        causes=with_and(causes),
    )


def _departures(groups: Sequence[Group]) -> Iterator[str]:
    shared = set.intersection(*(set(group.departures) for group in groups))
    alone = [
        said("{design}: {note}", design=group.label, note=known(note))
        for group in groups
        for note in group.departures
        if note not in shared
    ]
    if alone:
        yield said("unequal departures from the recipe: {departures}", departures=_first_few(alone, said("; ")))


def _tuning(groups: Sequence[Group]) -> Iterator[str]:
    """Designs with more recipes than others, or with a recipe that was made for them."""
    tried: dict[str, set[Recipe]] = defaultdict(set)
    for group in groups:
        tried[group.row.design].add(group.experiment.recipe)
    counts = {design: len(recipes) for design, recipes in tried.items()}
    if len(set(counts.values())) > 1:
        numbers = with_and(said("{count} for {design}", count=count, design=design) for design, count in counts.items())
        yield said(
            "unequal tuning: recipes tried: {numbers}; the best of several has a lower error by selection alone",
            numbers=numbers,
        )
    for name in sorted({group.experiment.recipe.name for group in groups}):
        homes = [family.name for family in families().values() if name in family.recipes]
        followers = [group for group in groups if group.experiment.recipe.name == name]
        strangers = sorted({group.row.family for group in followers} - set(homes))
        at_home = sorted({group.row.family for group in followers} & set(homes))
        if strangers and at_home:
            yield said(
                "unequal tuning: the recipe {recipe} was made for {home}, not for {strangers}",
                recipe=name,
                home=with_and(at_home),
                strangers=with_and(strangers),
            )


def _recipe_changes(one: Recipe, other: Recipe) -> str:
    ours, theirs = _flat(encode(one)), _flat(encode(other))
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    shown = [key for key in keys if key not in ("source", "reported", "data", "images", "unsettled")]
    changes = [f"{key} {_short(ours.get(key))} / {_short(theirs.get(key))}" for key in shown]
    return _first_few(changes, said(", ")) if changes else said("only in their sources")


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
    more = [said("and {count} more", count=len(lines) - _MOST_NAMED)] if len(lines) > _MOST_NAMED else []
    return between.join([*lines[:_MOST_NAMED], *more])


def _seeds(seeds: tuple[int, ...]) -> str:
    """Seeds in short form: 0 to 4, or 1, 5, 7."""
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return said("{first} to {last}", first=seeds[0], last=seeds[-1])
    return _first_few(list(map(str, seeds)), said(", "))


def _wider_interval(question: GroupedQuestion, pairs: Sequence[ComparedPair]) -> Iterator[str]:
    """The sources of variation in the intervals, and which interval is wider."""
    trained = [pair.trained for pair in pairs if pair.trained]
    both = [
        (difference.interval_seeds, difference.interval_images) for difference in trained if difference.interval_images
    ]
    if question.measure.metric != "test_error" or not trained:
        return
    if len(both) < len(trained):
        yield said(
            "Where predictions.csv is missing, intervals and p are over seeds only and hold for these test images; "
            "they say nothing about other test images."
        )
    if both:
        wider = sum(seeds is None or images[1] - images[0] > seeds[1] - seeds[0] for seeds, images in both if images)
        yield said(
            "There are two intervals: over seeds, for these test images; and over seeds and test images, for other "
            "images of the same kind. A claim needs both. The second is wider in {wider} of {pairs} pairs.",
            wider=wider,
            pairs=len(both),
        )


def _opposed(pairs: Sequence[ComparedPair]) -> Iterator[str]:
    """Pairs whose errors move in opposite directions over shared seeds, which makes the intervals too narrow."""
    named = [
        said(
            "{designs} ({correlation:+.2f})",
            designs=with_and([pair.first.label, pair.second.label]),
            correlation=pair.correlation,
        )
        for pair in pairs
        if pair.correlation is not None and pair.correlation <= _OPPOSED
    ]
    if named:
        yield said(
            "Negative correlation over shared seeds: {pairs}. If it is real, 95 % intervals cover only 88 to 92 %.",
            pairs=_first_few(named, said("; ")),
        )


def _sequential(pairs: Sequence[ComparedPair]) -> Iterator[str]:
    if any(verdict.verdict == "undecided" for pair in pairs for verdict in pair.verdicts.values()):
        yield said(
            "The level of 5 % holds for a number of seeds chosen beforehand. Adding seeds until a difference is "
            "significant makes false claims more frequent; train a new set of seeds, as many as needed, or use a lower "
            "level."
        )


def _near_zero(question: GroupedQuestion) -> Iterator[str]:
    few = [
        said(
            "{design} ({wrong:.1f})",
            design=group.label,
            wrong=group.row.test_error_percent.mean / 100 * question.images,
        )
        for group in question.groups
        if group.row.test_error_percent.mean / 100 * question.images < _FEW_WRONG
    ]
    if few and not _measures(question):
        yield said(
            "Errors near zero: on average few of the {images:,} images are misclassified: {designs}. One image is "
            "{step:.2g} points, the errors are far from normal, and the intervals are only approximate.",
            images=question.images,
            designs=with_and(few),
            step=100 / question.images,
        )


def _spreads(question: GroupedQuestion) -> Iterator[str]:
    known = sorted((stdev(group.values), group.label) for group in question.groups if len(group.values) > 1)
    if len(known) > 1:
        (low, narrow), (high, wide) = known[0], known[-1]
        ends = said(
            "{low:.2f} ({narrow}) to {high:.2f} ({wide})",
            low=low,
            narrow=narrow,
            high=high,
            wide=wide,
        )
        if high < POOLING_RATIO * low:
            yield said(
                "Standard deviations from {ends} are pooled: the largest is less than {ratio:g} times the smallest.",
                ends=ends,
                ratio=POOLING_RATIO,
            )
        else:
            yield said(
                "Standard deviations from {ends} differ too much to pool: pairs are tested with Welch's t test.",
                ends=ends,
            )
