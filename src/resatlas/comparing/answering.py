"""Run folders in, answered questions out: what `resatlas compare` says, as values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from resatlas.comparing.fairness import remarks, warnings
from resatlas.comparing.global_test import global_p
from resatlas.comparing.image_draw import image_draw, wrong_answers
from resatlas.comparing.judging import Asking, TestImages, judged
from resatlas.comparing.measures import measure_of
from resatlas.comparing.questions import Group, Question, asked, neighbours, questions
from resatlas.comparing.report import Answer
from resatlas.comparing.second_opinions import mcnemar_p
from resatlas.comparing.settled import Judged
from resatlas.comparing.statistics import moments
from resatlas.designs.published import Published, published_of
from resatlas.errors import UsageError
from resatlas.runs.record import RunRecord

PUBLISHED_AS: Mapping[str, tuple[str, str]] = {
    "cifar-10": ("CIFAR-10", "test error"),
    "cifar-100": ("CIFAR-100", "test error"),
    "svhn": ("SVHN", "test error"),
    "imagenet": ("ImageNet-val", "top-1 error"),
}
"""Of our data sets, the name and the metric under which errors are published."""


class TwoNets(NamedTuple):
    """Two nets of two groups: images that only the one, or only the other, gets wrong, and McNemar's exact p."""

    first: Group
    second: Group
    seeds: tuple[int, int]
    first_alone: int
    second_alone: int
    chance: float


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A question with all that is said about it.

    `points` is the difference for which seeds are counted, `margin` the one within which designs are equivalent.
    `global_p` is the p of one test of all designs at once; None where there are fewer than two with several seeds.
    """

    question: Question
    points: float
    margin: float | None
    global_p: float | None
    pairs: tuple[Judged, ...]
    nets: tuple[TwoNets, ...]
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
) -> tuple[Answered, ...]:
    """The questions of run folders, of studies or of folders of these, answered from their files alone.

    `against` is a DESIGN with which every other is compared, other sizes of its kind among them; else all are with
    each other. `metric` is test_error, train_loss (in evaluation mode, on clean images) or time_to_error=PERCENT, the
    seconds to a validation error. `points` is a difference for which the seeds needed are counted; within `margin` two
    designs are equivalent.

    Raises: FolderError, UnknownName as `questions`; UsageError for another metric, or for a difference or a margin that
    cannot be one.
    """
    measure = measure_of(metric)
    points = measure.usual_difference if points is None else points
    if measure.metric == "test_error" and not 0.001 <= points <= 100:
        raise UsageError(f"a difference lies between 0.001 and 100 points of error; {points:g} does not")
    for name, value in (("difference", points), ("margin", margin)):
        if value is not None and not (0 < value < math.inf):
            raise UsageError(f"a {name} is larger than 0; {value:g} is not")
    folders = [Path(runs)] if isinstance(runs, str) else [Path(run) for run in runs]
    asked_for = Asking(measure=measure, points=points, margin=margin)
    return tuple(_answered(each, asked_for) for each in questions(folders, against=against, measure=measure))


def answered(answer: Answer) -> Answered:
    """A question with finished runs, each design held against its neighbours; without pairs where obstacles stand.

    Raises: FolderError if results or predictions are damaged.
    """
    question = asked(answer)
    pairs = () if question.obstacles else neighbours(question.groups)
    return _answered(replace(question, pairs=pairs), Asking())


def _answered(question: Question, asking: Asking) -> Answered:
    _check_margin(question, asking)
    wrong = _wrong_answers(question)
    images = _test_images(question, wrong) if asking.measure.metric == "test_error" else None
    pairs = judged(question.pairs, question.groups, asking=asking, images=images)
    return Answered(
        question=question,
        points=asking.points,
        margin=asking.margin,
        global_p=_global_p(question),
        pairs=_with_survivors(pairs, question, asking, wrong),
        nets=tuple(_net_by_net(question, wrong)),
        published={group.label: _published(group) for group in question.groups},
        warnings=warnings(question),
        notes=remarks(question, pairs),
    )


def _check_margin(question: Question, asking: Asking) -> None:
    """A margin of test error is at least one image."""
    least = 100 / question.images
    if asking.measure.metric == "test_error" and asking.margin is not None and asking.margin < least:
        raise UsageError(
            f"a margin of {asking.margin:g} points is less than one of the {question.images:,} test images, which is "
            f"{least:.2g} points; give a larger one"
        )


def _global_p(question: Question) -> float | None:
    known = [moments(group.values) for group in question.groups if len(group.values) > 1]
    return float(global_p(known)) if len(known) > 1 and question.pairs else None


def _with_survivors(
    pairs: tuple[Judged, ...], question: Question, asking: Asking, wrong: "Wrong"
) -> tuple[Judged, ...]:
    """The pairs, with what the runs that did not diverge would say where some did."""
    if not any(group.diverged for group in question.groups):
        return pairs
    of = {group: group.survivors for group in question.groups}
    kept = replace(question, groups=tuple(of.values()), pairs=tuple((of[a], of[b]) for a, b in question.pairs))
    images = _test_images(kept, wrong) if asking.measure.metric == "test_error" else None
    again = judged(kept.pairs, kept.groups, asking=asking, images=images)
    return tuple(
        replace(pair, survivors=other) if pair.first.diverged or pair.second.diverged else pair
        for pair, other in zip(pairs, again, strict=True)
    )


Wrong = Mapping[RunRecord, Mapping[tuple[str, str], bool]]
"""Of runs with predictions, the images that they answer wrongly."""


def _wrong_answers(question: Question) -> Wrong:
    groups = dict.fromkeys(group for pair in question.pairs for group in pair)
    return {run: wrong_answers(run) for group in groups for run in group.runs if run.predictions}


def _test_images(question: Question, wrong: Wrong) -> TestImages | None:
    """What the draw of the test images adds, from the answers of groups all of whose runs have predictions.

    A run that diverged is wrong on each image as often as guessing is.
    """
    import numpy as np

    groups = tuple(
        group
        for group in question.groups
        if len(group.values) > 1 and group.runs and all(run in wrong for run in group.runs)
    )
    if not groups or question.images < 2:
        return None
    images = list(wrong[groups[0].runs[0]])
    tables = []
    for group in groups:
        rows = {run.experiment.seed: [float(wrong[run][image]) for image in images] for run in group.runs}
        guess = [1 - 1 / max(len(group.runs[0].classes), 2)] * len(images)
        tables.append(np.array([rows.get(seed, guess) for seed in group.value_seeds]))
    return TestImages(groups, image_draw(tables))


def _net_by_net(question: Question, wrong: Wrong) -> Iterator[TwoNets]:
    """McNemar on the nets of each pair that share a seed; on the first of each where none do."""
    for first, second in question.pairs:
        for seeds in _seeds(first, second):
            one, other = (group.runs[group.seeds.index(k)] for group, k in zip((first, second), seeds, strict=True))
            if one in wrong and other in wrong:
                a, b = wrong[one], wrong[other]
                alone = sum(a[image] and not b[image] for image in a)
                rest = sum(b[image] and not a[image] for image in a)
                yield TwoNets(first, second, seeds, alone, rest, mcnemar_p(alone, rest))


def _seeds(first: Group, second: Group) -> list[tuple[int, int]]:
    return [(seed, seed) for seed in first.seeds if seed in second.seeds] or [(first.seeds[0], second.seeds[0])]


def _published(group: Group) -> tuple[Published, ...]:
    """The figures published for the design on these data, untouched."""
    known = PUBLISHED_AS.get(group.experiment.data)
    figures = published_of(group.entry) if known and group.entry else ()
    return tuple(each for each in figures if (each.dataset, each.metric) == known)
