"""Comparisons of run folders: all that `resatlas compare` says, as values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from resatlas.comparing.compared_pair import ComparedPair
from resatlas.comparing.fairness import remarks, warnings
from resatlas.comparing.global_test import global_p
from resatlas.comparing.image_draw import image_draw, misclassified_images
from resatlas.comparing.measures import measure_of
from resatlas.comparing.questions import Group, GroupedQuestion, group_question, nearest_pairs, read_questions
from resatlas.comparing.robust_tests import mcnemar_p
from resatlas.comparing.run_sets import RunSet
from resatlas.comparing.statistics import moments
from resatlas.comparing.verdicts import Criteria, GroupDraw, judge_pairs
from resatlas.designs.published import Published, published_of
from resatlas.errors import UsageError
from resatlas.runs.record import RunRecord

_PUBLISHED_AS: Mapping[str, tuple[str, str]] = {
    "cifar-10": ("CIFAR-10", "test error"),
    "cifar-100": ("CIFAR-100", "test error"),
    "svhn": ("SVHN", "test error"),
    "imagenet": ("ImageNet-val", "top-1 error"),
}
"""For each data set, the name and the metric under which errors are published."""


class TwoNetworks(NamedTuple):
    """Two networks of two groups: the numbers of images that only one of them misclassifies, and McNemar's exact p."""

    first: Group
    second: Group
    seeds: tuple[int, int]
    first_alone: int
    second_alone: int
    p: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A question with its pairs, verdicts, warnings and notes.

    `points` is the difference for which the seeds needed are computed, `margin` the one within which designs are
    equivalent. `global_p` is the p of one test of all designs at once; None if fewer than two have several seeds.
    """

    question: GroupedQuestion
    points: float
    margin: float | None
    global_p: float | None
    pairs: tuple[ComparedPair, ...]
    nets: tuple[TwoNetworks, ...]
    published: Mapping[str, tuple[Published, ...]]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def compare(
    runs: Sequence[str | Path],
    *,
    against: str | None = None,
    points: float | None = None,
    metric: str = "test_error",
    margin: float | None = None,
) -> tuple[Comparison, ...]:
    """Compare the designs of run folders, of studies or of folders that contain them, from their files alone.

    `against` is the baseline DESIGN, with which every other is compared, including other sizes of its kind; by default
    each design is compared with the nearest in parameters of each other kind. `metric` is test_error, train_loss (in
    evaluation mode, on clean images) or time_to_error=PERCENT, the seconds to a validation error. `points` is a
    difference for which the seeds needed are computed; two designs within `margin` are equivalent.

    Raises: FolderError, UnknownName as `read_questions`; UsageError for an unknown metric, or a difference or margin
    out of range.
    """
    measure = measure_of(metric)
    points = measure.usual_difference if points is None else points
    if measure.metric == "test_error" and not 0.001 <= points <= 100:
        raise UsageError(f"the difference must be from 0.001 to 100 points of error; got {points:g}")
    for name, value in (("difference", points), ("margin", margin)):
        if value is not None and not (0 < value < math.inf):
            raise UsageError(f"the {name} must be a finite number larger than 0; got {value:g}")
    folders = [Path(runs)] if isinstance(runs, str) else [Path(run) for run in runs]
    criteria = Criteria(measure=measure, points=points, margin=margin)
    questions = read_questions(folders, against=against, measure=measure)
    return tuple(_comparison(question, criteria) for question in questions)


def compare_run_set(run_set: RunSet) -> Comparison:
    """Compare each design of a run set with its nearest.

    There are no pairs if the runs cannot be compared, or if the question is about factors: it has effects instead.

    Raises: FolderError if results or predictions are damaged.
    """
    question = group_question(run_set)
    pairs = () if question.obstacles or run_set.question.factors else nearest_pairs(question.groups)
    return _comparison(replace(question, pairs=pairs), Criteria())


def _comparison(question: GroupedQuestion, criteria: Criteria) -> Comparison:
    _check_margin(question, criteria)
    misclassified = misclassified_by_run(question)
    images = group_draw(question, misclassified) if criteria.measure.metric == "test_error" else None
    pairs = judge_pairs(question.pairs, question.groups, criteria=criteria, images=images)
    return Comparison(
        question=question,
        points=criteria.points,
        margin=criteria.margin,
        global_p=_global_p(question),
        pairs=_with_survivors(pairs, question, criteria, misclassified),
        nets=tuple(_network_pairs(question, misclassified)),
        published={group.label: _published(group) for group in question.groups},
        warnings=warnings(question),
        notes=remarks(question, pairs),
    )


def _check_margin(question: GroupedQuestion, criteria: Criteria) -> None:
    """Refuse a margin of test error that is smaller than one image."""
    least = 100 / question.images
    if criteria.measure.metric == "test_error" and criteria.margin is not None and criteria.margin < least:
        raise UsageError(
            f"a margin of {criteria.margin:g} points is less than one of the {question.images:,} test images, which is "
            f"{least:.2g} points; choose a larger margin"
        )


def _global_p(question: GroupedQuestion) -> float | None:
    designs = [moments(group.values) for group in question.groups if len(group.values) > 1]
    return float(global_p(designs)) if len(designs) > 1 and question.pairs else None


def _with_survivors(
    pairs: tuple[ComparedPair, ...], question: GroupedQuestion, criteria: Criteria, misclassified: "Misclassified"
) -> tuple[ComparedPair, ...]:
    """The pairs, each that has diverged runs with the same comparison without them."""
    if not any(group.diverged for group in question.groups):
        return pairs
    survivors = {group: group.survivors for group in question.groups}
    kept = replace(
        question,
        groups=tuple(survivors.values()),
        pairs=tuple((survivors[first], survivors[second]) for first, second in question.pairs),
    )
    images = group_draw(kept, misclassified) if criteria.measure.metric == "test_error" else None
    again = judge_pairs(kept.pairs, kept.groups, criteria=criteria, images=images)
    return tuple(
        replace(pair, survivors=other) if pair.first.diverged or pair.second.diverged else pair
        for pair, other in zip(pairs, again, strict=True)
    )


Misclassified = Mapping[RunRecord, Mapping[tuple[str, str], bool]]
"""For each run with predictions, whether it misclassifies each image."""


def misclassified_by_run(question: GroupedQuestion) -> Misclassified:
    """The images that the runs of a question's pairs misclassify."""
    groups = dict.fromkeys(group for pair in question.pairs for group in pair)
    return {run: misclassified_images(run) for group in groups for run in group.runs if run.predictions}


def group_draw(question: GroupedQuestion, misclassified: Misclassified) -> GroupDraw | None:
    """The draw of the test images, for groups whose runs all have predictions; None if there is no such group.

    A run that diverged misclassifies each image with the probability of a network at chance level.
    """
    import numpy as np

    groups = tuple(
        group
        for group in question.groups
        if len(group.values) > 1 and group.runs and all(run in misclassified for run in group.runs)
    )
    if not groups or question.images < 2:
        return None
    images = list(misclassified[groups[0].runs[0]])
    tables = []
    for group in groups:
        rows = {run.experiment.seed: [float(misclassified[run][image]) for image in images] for run in group.runs}
        at_chance = [1 - 1 / max(len(group.runs[0].classes), 2)] * len(images)
        tables.append(np.array([rows.get(seed, at_chance) for seed in group.value_seeds]))
    return GroupDraw(groups, image_draw(tables))


def _network_pairs(question: GroupedQuestion, misclassified: Misclassified) -> Iterator[TwoNetworks]:
    """McNemar's test of the networks of each pair that share a seed; of the first of each group if none do."""
    for first, second in question.pairs:
        for seeds in _seed_pairs(first, second):
            one, other = (group.runs[group.seeds.index(k)] for group, k in zip((first, second), seeds, strict=True))
            if one in misclassified and other in misclassified:
                a, b = misclassified[one], misclassified[other]
                first_alone = sum(a[image] and not b[image] for image in a)
                second_alone = sum(b[image] and not a[image] for image in a)
                p = mcnemar_p(first_alone, second_alone)
                yield TwoNetworks(first, second, seeds, first_alone, second_alone, p)


def _seed_pairs(first: Group, second: Group) -> list[tuple[int, int]]:
    return [(seed, seed) for seed in first.seeds if seed in second.seeds] or [(first.seeds[0], second.seeds[0])]


def _published(group: Group) -> tuple[Published, ...]:
    """The values published for the design on this data set, as they were printed."""
    known = _PUBLISHED_AS.get(group.experiment.data)
    values = published_of(group.entry) if known and group.entry else ()
    return tuple(value for value in values if (value.dataset, value.metric) == known)
