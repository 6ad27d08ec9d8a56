"""Run folders as questions: nets that differ in nothing but the seed are a group, and groups are compared in pairs."""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean, median

from resatlas.comparing.comparison import APART, Row, about_labels, groups, labels, of_one_design, rows, same_data
from resatlas.comparing.image_draw import wrong_answers
from resatlas.comparing.measures import TEST_ERROR, Measure, value_of, value_of_guessing
from resatlas.comparing.report import Answer, report
from resatlas.comparing.words import listed, presentable
from resatlas.designs.catalog import Entry, resolve
from resatlas.errors import FolderError, ResatlasError, UnknownName, unknown
from resatlas.runs.departures import sentences
from resatlas.runs.experiment import Experiment
from resatlas.runs.record import Beginning, RunRecord, identity

SIZES = ("depth", "base", "widen", "alpha", "width")
"""Knobs that make a network of one kind larger or smaller; designs that agree in all others are of one kind."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Nets that differ in nothing but the seed, in the order of their seeds.

    `values` are those of the measure, run by run, of the seeds `value_seeds`: runs that diverged, with the seeds
    `diverged`, stand among them as networks that guess; all else is of the runs that finished.
    `label` is the shortest name that no other group of the question has. `kind` is what a design is but for its size;
    `entry` is None where the design is not known here. `seconds` is the median of a training, `seconds_spread` the
    least and the greatest, `machines` what they were taken on, as `seconds.MACHINE` names it. `departures` are what
    was done otherwise than the recipe.
    """

    label: str
    row: Row
    experiment: Experiment
    runs: tuple[RunRecord, ...]
    entry: Entry | None
    kind: Hashable
    test_images: int
    seconds: float
    seconds_spread: tuple[float, float]
    machines: frozenset[tuple[str, ...]]
    departures: tuple[str, ...]
    values: tuple[float, ...]
    value_seeds: tuple[int, ...]
    diverged: tuple[int, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its nets."""
        return self.row.seeds

    @property
    def errors(self) -> tuple[float, ...]:
        """The test errors of its nets, in percent."""
        return self.row.test_error_percent.values

    @property
    def mean(self) -> float:
        """The mean of its values."""
        return fmean(self.values)

    @property
    def survivors(self) -> "Group":
        """The same without the runs that diverged."""
        kept = [(v, s) for v, s in zip(self.values, self.value_seeds, strict=True) if s not in self.diverged]
        values, seeds = zip(*kept, strict=True)
        return replace(self, values=values, value_seeds=seeds, diverged=())


@dataclass(frozen=True, kw_only=True)
class Question:
    """Groups, the pairs of them that are compared, and why none may be, where the nets are not of the same images.

    `about_labels` says where one label names several designs, or one design has several labels.
    """

    title: str
    data: str
    groups: tuple[Group, ...]
    pairs: tuple[tuple[Group, Group], ...]
    unfinished: tuple[str, ...]
    obstacles: tuple[str, ...] = ()
    about_labels: tuple[str, ...] = ()
    measure: Measure = TEST_ERROR

    @property
    def images(self) -> int:
        """The number of test images."""
        return self.groups[0].test_images


def questions(
    folders: Sequence[Path], *, against: str | None = None, measure: Measure = TEST_ERROR
) -> tuple[Question, ...]:
    """The questions of some folders: those of studies, and one over all single runs.

    With `against` every group is compared with those of that design; else every group with the size of each other
    kind that is nearest in parameters. The first of a pair is the one that is said to be better.

    Raises: FolderError if a folder has no runs, or if its runs cannot be compared at all; UnknownName if no run is of
    the design.
    """
    found = [asked(answer, measure) for answer in report(folders) if answer.runs]
    for obstacle in (obstacle for each in found for obstacle in each.obstacles):
        raise FolderError(obstacle)
    several = [each for each in found if len(each.groups) > 1]
    if not several:
        only = listed(dict.fromkeys(group.label for each in found for group in each.groups))
        raise FolderError(f"nothing to compare: all runs are of {only}; name runs of another design too")
    if against is None:
        return tuple(replace(each, pairs=neighbours(each.groups)) for each in several)
    held = [replace(each, pairs=_against(each.groups, against)) for each in several]
    if not any(each.pairs for each in held):
        known = dict.fromkeys(group.row.design for each in several for group in each.groups)
        raise UnknownName(unknown("run of the design", against, known))
    return tuple(each for each in held if each.pairs)


def asked(answer: Answer, measure: Measure = TEST_ERROR) -> Question:
    """The question of some finished runs with its groups, without pairs yet.

    Raises: FolderError if results are missing or damaged, or if a run does not have the measure.
    """
    parted = [sorted(group, key=lambda run: run.experiment.seed) for group in groups(answer.runs)]
    shown = sorted(
        zip(rows(parted), parted, strict=True),
        key=lambda each: (each[0].family, each[0].parameters, each[0].design, each[0].recipe, each[0].epochs),
    )
    names = labels([each for each, _ in shown])
    spelled = {same_data(run.beginning): run.experiment.data for run in reversed(answer.runs)}
    made = tuple(
        _valued(_group(label, each, group, data=spelled[same_data(group[0].beginning)]), answer.diverged, measure)
        for label, (each, group) in zip(names, shown, strict=True)
    )
    return Question(
        title=answer.question.title,
        data=", ".join(sorted(map(presentable, spelled.values()))),
        groups=made,
        pairs=(),
        unfinished=tuple(answer.unfinished),
        obstacles=tuple(_obstacles(answer.runs, made)),
        about_labels=tuple(about_labels(answer.runs, [each for each, _ in shown])),
        measure=measure,
    )


def _valued(group: Group, diverged: Sequence[Beginning], measure: Measure) -> Group:
    """The group with its values; runs of it that diverged count as guessing."""
    lost = [run for run in diverged if of_one_design(run, group.runs[0].beginning)]
    of = {run.experiment.seed: value_of_guessing(run, measure) for run in lost}
    of |= {run.experiment.seed: value_of(run, measure) for run in group.runs}
    if len(of) < len(group.runs):  # a copy, which an obstacle names
        return replace(group, values=tuple(value_of(run, measure) for run in group.runs), value_seeds=group.seeds)
    seeds = tuple(sorted(of))
    known = tuple(seed for seed in seeds if seed not in group.seeds)
    return replace(group, values=tuple(of[seed] for seed in seeds), value_seeds=seeds, diverged=known)


def _obstacles(runs: Sequence[RunRecord], made: Sequence[Group]) -> Iterator[str]:
    """Why errors may not be compared at all: other images, or one net that stands twice."""
    if len({same_data(run.beginning) for run in runs}) > 1:
        data = sorted({presentable(run.experiment.data) for run in runs})
        of = f"several data sets ({', '.join(data)})" if len(data) > 1 else f"different images of {data[0]}"
        yield f"the runs are of {of}; errors are compared on the same images alone"
    for group in made:
        for seed, times in Counter(group.seeds).items():
            if times > 1:
                same = [run.name for run in group.runs if run.experiment.seed == seed]
                yield f"{listed(map(presentable, same))} are one training with seed {seed}; a copy is no further net"
    tested = {each.test_images for each in made}
    if len(tested) > 1:
        yield f"the runs were tested on {listed(f'{n:,}' for n in sorted(tested))} images: not the same"
        return
    if len({frozenset(wrong_answers(run)) for run in runs if run.predictions}) > 1:
        yield "the runs were tested on other images: the ids of their predictions differ"


def _group(label: str, shown: Row, runs: Sequence[RunRecord], *, data: str) -> Group:
    experiment = replace(runs[0].experiment, seed=0, data=data)
    entry = _entry_of(runs[0])
    return Group(
        label=label,
        row=shown,
        experiment=experiment,
        runs=tuple(runs),
        entry=entry,
        kind=_kind(entry, shown),
        test_images=runs[0].outcome.test.images,
        seconds=median(run.outcome.seconds for run in runs),
        seconds_spread=(min(run.outcome.seconds for run in runs), max(run.outcome.seconds for run in runs)),
        machines=frozenset(map(_machine, runs)),
        departures=tuple(dict.fromkeys(presentable(note) for run in runs for note in _departures(run))),
        values=shown.test_error_percent.values,
        value_seeds=shown.seeds,
    )


def _entry(design: str) -> Entry | None:
    """What a design means here, or None: its file may lie elsewhere."""
    try:
        return resolve(design)
    except ResatlasError:
        return None


def _entry_of(run: RunRecord) -> Entry | None:
    """What the design of a run means here, or None where that is another network by now, as of a file that changed."""
    try:
        entry = run.experiment.entry
    except ResatlasError:
        return None
    return entry if _means(entry, run) else None


def _means(entry: Entry, run: RunRecord) -> bool:
    """Whether an entry is the network of a run."""
    try:
        return identity(entry.plan(image=run.plan.image, classes=run.plan.classes)) == run.network
    except ResatlasError:  # the images are too small for it
        return False


def _kind(entry: Entry | None, shown: Row) -> Hashable:
    design = entry.design if entry else None
    if design is None:
        return shown.design
    knobs = ((each.name, getattr(design, each.name)) for each in fields(design))  # type: ignore[arg-type]
    return (design.family, *(knob for knob in knobs if knob[0] not in SIZES))


def _machine(run: RunRecord) -> tuple[str, ...]:
    where = run.environment
    return (where.processor, where.cores, where.threads, where.version("torch")) if where else ()


def _departures(run: RunRecord) -> tuple[str, ...]:
    """What a run did otherwise than its recipe says, or left out."""
    return (*run.beginning.departures, *sentences(run.outcome.departures))


def neighbours(made: Sequence[Group]) -> tuple[tuple[Group, Group], ...]:
    """The pairs of which one is the other's nearest of its kind and training; all pairs where there is one kind only.

    Sizes of one kind are a pair only where their parameters are equal: else they differ in the budget itself.
    """

    def apart(one: Group, other: Group) -> float:
        return abs(math.log(max(one.row.parameters, 1) / max(other.row.parameters, 1)))

    def paired(one: Group, other: Group) -> bool:
        ours, theirs = sizes_of(one, made), sizes_of(other, made)
        if one in theirs:
            return apart(one, other) <= math.log(APART)
        return apart(one, other) in (min(apart(one, each) for each in theirs), min(apart(other, each) for each in ours))

    every = tuple(combinations(made, 2))
    return tuple(pair for pair in every if paired(*pair)) or every


def _against(made: Sequence[Group], design: str) -> tuple[tuple[Group, Group], ...]:
    meant = _entry(design)

    same = [group for group in made if meant is not None and _means(meant, group.runs[0])]
    base = (
        [group for group in made if group.row.design == design]
        or same
        or [group for group in made if group.experiment.design == design]
    )
    return tuple((group, other) for group in made if group not in base for other in base)


def sizes_of(like: Group, everyone: Sequence[Group]) -> tuple[Group, ...]:
    """The groups of one kind that were trained alike, in their order."""
    return tuple(each for each in everyone if each.kind == like.kind and set(differing(each, like)) <= {"design"})


def differing(first: Group, second: Group) -> tuple[str, ...]:
    """The fields of the experiments, but the seed, in which two groups differ."""
    names = (each.name for each in fields(Experiment) if each.name != "design")
    others = (name for name in names if getattr(first.experiment, name) != getattr(second.experiment, name))
    return (*(() if first.row.network == second.row.network else ("design",)), *others)
