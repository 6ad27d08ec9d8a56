"""Run folders in, answered questions out: what `resatlas compare` says, as values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from resatlas.designs.published import Published, published_of
from resatlas.errors import UsageError
from resatlas.reporting.fairness import remarks, warnings
from resatlas.reporting.judging import Judged, judged
from resatlas.reporting.predictions import wrong_answers
from resatlas.reporting.questions import Group, Question, asked, neighbours, questions
from resatlas.reporting.report import Answer
from resatlas.reporting.second_opinions import mcnemar_p

POINTS = 0.5
"""The difference, in points of test error, for which nets are counted where no other is asked for."""

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
    """A question with all that is said about it; `points` is the difference for which nets are counted."""

    question: Question
    points: float
    pairs: tuple[Judged, ...]
    nets: tuple[TwoNets, ...]
    published: Mapping[str, tuple[Published, ...]]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def compare(runs: Sequence[str | Path], *, against: str | None = None, points: float = POINTS) -> tuple[Answered, ...]:
    """The questions of run folders, of studies or of folders of these, answered from their files alone.

    `against` is a DESIGN with which every other is compared, else all are with each other; `points` is a difference
    of test error for which the nets needed are counted.

    Raises: FolderError, UnknownName as `questions`; UsageError for points that are no difference.
    """
    if not 0.001 <= points <= 100:
        raise UsageError(f"a difference lies between 0.001 and 100 points of error; {points:g} does not")
    folders = [Path(runs)] if isinstance(runs, str) else [Path(run) for run in runs]
    return tuple(_answered(each, points) for each in questions(folders, against=against))


def answered(answer: Answer) -> Answered:
    """A question with finished runs, each design held against its neighbours; without pairs where obstacles stand.

    Raises: FolderError if results or predictions are damaged.
    """
    question = asked(answer)
    pairs = () if question.obstacles else neighbours(question.groups)
    return _answered(replace(question, pairs=pairs), POINTS)


def _answered(question: Question, points: float) -> Answered:
    return Answered(
        question=question,
        points=points,
        pairs=judged(question.pairs, question.groups, points=points),
        nets=tuple(_net_by_net(question)),
        published={group.label: _published(group) for group in question.groups},
        warnings=warnings(question),
        notes=remarks(question),
    )


def _net_by_net(question: Question) -> Iterator[TwoNets]:
    """McNemar on the nets of each pair that share a seed; on the first of each where none do."""
    groups = dict.fromkeys(group for pair in question.pairs for group in pair)
    wrong = {run: wrong_answers(run) for group in groups for run in group.runs if run.predictions}
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
