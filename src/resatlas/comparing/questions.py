"""Questions about run folders: runs that differ only in the seed form a group, and groups are compared in pairs."""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean, median

from resatlas.comparing.bounds import TOLERANCE
from resatlas.comparing.image_draw import misclassified_images
from resatlas.comparing.measures import TEST_ERROR, Measure, value_at_chance, value_of
from resatlas.comparing.rows import (
    Row,
    data_identity,
    differ_only_in_seed,
    group_runs,
    label_notes,
    labels,
    rows_of,
)
from resatlas.comparing.run_sets import RunSet, read_run_sets
from resatlas.comparing.words import presentable
from resatlas.designs.catalog import Entry, resolve
from resatlas.errors import FolderError, ResatlasError, UnknownName, unknown
from resatlas.runs.departures import sentences
from resatlas.runs.experiment import Experiment
from resatlas.runs.record import Beginning, RunRecord, identity
from resatlas.values.language import known, said, with_and

SIZES = ("depth", "base", "widen", "alpha", "width")
"""Knobs that make a network of one kind larger or smaller; designs that agree in all others are of one kind."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ only in the seed, in the order of their seeds.

    `label` is the shortest name that no other group of the question has. `kind` identifies the design without its
    size; `entry` is None if the design is not known here. `seconds` is the median of the trainings, `seconds_spread`
    their minimum and maximum, `machines` the machines that they ran on, as in `seconds.MACHINE`. `departures` say where
    the runs differ from their recipe.

    `values` are those of the measure, run by run, of the seeds `value_seeds`. They include runs that diverged, of the
    seeds `diverged`, at chance level; everything else is about finished runs only.
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
        """The seeds of its finished runs."""
        return self.row.seeds

    @property
    def errors(self) -> tuple[float, ...]:
        """The test errors of its finished runs, in percent."""
        return self.row.test_error_percent.values

    @property
    def mean(self) -> float:
        """The mean of its values."""
        return fmean(self.values)

    @property
    def survivors(self) -> "Group":
        """The group without the runs that diverged."""
        kept = [(v, s) for v, s in zip(self.values, self.value_seeds, strict=True) if s not in self.diverged]
        values, seeds = zip(*kept, strict=True)
        return replace(self, values=values, value_seeds=seeds, diverged=())


@dataclass(frozen=True, kw_only=True)
class GroupedQuestion:
    """A question with its runs in groups, and the pairs of groups that are compared.

    `obstacles` are the reasons why no groups can be compared, as where the test images differ. `label_notes` name
    labels of several designs and designs of several labels.
    """

    title: str
    data: str
    groups: tuple[Group, ...]
    pairs: tuple[tuple[Group, Group], ...]
    unfinished: tuple[str, ...]
    obstacles: tuple[str, ...] = ()
    label_notes: tuple[str, ...] = ()
    measure: Measure = TEST_ERROR

    @property
    def images(self) -> int:
        """The number of test images."""
        return self.groups[0].test_images


def read_questions(
    folders: Sequence[Path], *, against: str | None = None, measure: Measure = TEST_ERROR
) -> tuple[GroupedQuestion, ...]:
    """The questions of run folders: those of studies, and one about all single runs.

    With `against` every group is compared with those of this design; otherwise with the nearest in parameters of each
    other kind. The claim of a pair is that its first group is better.

    Raises: FolderError if a folder has no runs, or if its runs cannot be compared at all; UnknownName if no run is of
    the design.
    """
    questions = [group_question(run_set, measure) for run_set in read_run_sets(folders) if run_set.runs]
    for obstacle in (obstacle for question in questions for obstacle in question.obstacles):
        raise FolderError(obstacle)
    several = [question for question in questions if len(question.groups) > 1]
    if not several:
        only = with_and(dict.fromkeys(group.label for question in questions for group in question.groups))
        raise FolderError(f"nothing to compare: all runs are of {only}; add runs of another design")
    if against is None:
        return tuple(replace(question, pairs=nearest_pairs(question.groups)) for question in several)
    with_pairs = [replace(question, pairs=_pairs_against(question.groups, against)) for question in several]
    if not any(question.pairs for question in with_pairs):
        known = dict.fromkeys(group.row.design for question in several for group in question.groups)
        raise UnknownName(unknown("run of the design", against, known))
    return tuple(question for question in with_pairs if question.pairs)


def group_question(run_set: RunSet, measure: Measure = TEST_ERROR) -> GroupedQuestion:
    """The question of a run set with its groups, without pairs.

    Raises: FolderError if results are missing or damaged, or if a run does not have the measure.
    """
    by_design = [sorted(runs, key=lambda run: run.experiment.seed) for runs in group_runs(run_set.runs)]
    shown = sorted(
        zip(rows_of(by_design), by_design, strict=True),
        key=lambda pair: (pair[0].family, pair[0].parameters, pair[0].design, pair[0].recipe, pair[0].epochs),
    )
    rows = [row for row, _ in shown]
    data_names = {data_identity(run.beginning): run.experiment.data for run in reversed(run_set.runs)}
    groups = tuple(
        _with_values(
            _group(label, row, runs, data=data_names[data_identity(runs[0].beginning)]), run_set.diverged, measure
        )
        for label, (row, runs) in zip(labels(rows), shown, strict=True)
    )
    return GroupedQuestion(
        title=run_set.question.title,
        data=", ".join(sorted(map(presentable, data_names.values()))),
        groups=groups,
        pairs=(),
        unfinished=tuple(run_set.unfinished),
        obstacles=tuple(_obstacles(run_set.runs, groups)),
        label_notes=tuple(label_notes(run_set.runs, rows)),
        measure=measure,
    )


def _with_values(group: Group, diverged: Sequence[Beginning], measure: Measure) -> Group:
    """The group with its values; those of its runs that diverged are at chance level."""
    lost = [run for run in diverged if differ_only_in_seed(run, group.runs[0].beginning)]
    values = {run.experiment.seed: value_at_chance(run, measure) for run in lost}
    values |= {run.experiment.seed: value_of(run, measure) for run in group.runs}
    if len(values) < len(group.runs):  # two runs of one seed: _obstacles reports the copy
        return replace(group, values=tuple(value_of(run, measure) for run in group.runs), value_seeds=group.seeds)
    seeds = tuple(sorted(values))
    return replace(
        group,
        values=tuple(values[seed] for seed in seeds),
        value_seeds=seeds,
        diverged=tuple(seed for seed in seeds if seed not in group.seeds),
    )


def _obstacles(runs: Sequence[RunRecord], groups: Sequence[Group]) -> Iterator[str]:
    """The reasons why errors cannot be compared at all: other measures or images, or two copies of one network."""
    measures = sorted({run.outcome.test.measure or "the share of images with another label" for run in runs})
    if len(measures) > 1:
        yield said(
            "the errors are of {count} measures ({measures}), which cannot be compared",
            count=len(measures),
            measures=said(", ").join(map(known, measures)),
        )
        return
    if len({data_identity(run.beginning) for run in runs}) > 1:
        data = sorted({presentable(run.experiment.data) for run in runs})
        if len(data) > 1:
            of = said("several data sets ({names})", names=said(", ").join(data))
        else:
            of = said("different images of {name}", name=data[0])
        yield said("the runs are of {several}; errors can be compared only on the same images", several=of)
    for group in groups:
        for seed, times in Counter(group.seeds).items():
            if times > 1:
                same = [run.name for run in group.runs if run.experiment.seed == seed]
                names = with_and(map(presentable, same))
                yield said(
                    "{names} are one training with seed {seed}; a copy does not count as another network",
                    names=names,
                    seed=seed,
                )
    tested = {group.test_images for group in groups}
    if len(tested) > 1:
        yield said(
            "the runs were tested on different numbers of images: {numbers}",
            numbers=with_and(f"{count:,}" for count in sorted(tested)),
        )
        return
    if len({frozenset(misclassified_images(run)) for run in runs if run.predictions}) > 1:
        yield said("the runs were tested on different images: the ids of their predictions differ")


def _group(label: str, row: Row, runs: Sequence[RunRecord], *, data: str) -> Group:
    experiment = replace(runs[0].experiment, seed=0, data=data)
    entry = _entry_of(runs[0])
    return Group(
        label=label,
        row=row,
        experiment=experiment,
        runs=tuple(runs),
        entry=entry,
        kind=_kind(entry, row),
        test_images=runs[0].outcome.test.images,
        seconds=median(run.outcome.seconds for run in runs),
        seconds_spread=(min(run.outcome.seconds for run in runs), max(run.outcome.seconds for run in runs)),
        machines=frozenset(machine for run in runs for machine in _machines(run)),
        departures=tuple(dict.fromkeys(presentable(note) for run in runs for note in _departures(run))),
        values=row.test_error_percent.values,
        value_seeds=row.seeds,
    )


def _entry(design: str) -> Entry | None:
    """The entry of a design, or None if it is not known here, as with a file in another folder."""
    try:
        return resolve(design)
    except ResatlasError:
        return None


def _entry_of(run: RunRecord) -> Entry | None:
    """The entry of a run's design, or None if it is another network by now, as after a change of its file."""
    try:
        entry = run.experiment.entry
    except ResatlasError:
        return None
    return entry if _is_network_of(entry, run) else None


def _is_network_of(entry: Entry, run: RunRecord) -> bool:
    try:
        return identity(entry.plan(image=run.plan.image, classes=run.plan.classes)) == run.network
    except ResatlasError:  # the images are too small for the design
        return False


def _kind(entry: Entry | None, row: Row) -> Hashable:
    design = entry.design if entry else None
    if design is None:
        return row.design
    knobs = ((field.name, getattr(design, field.name)) for field in fields(design))  # type: ignore[arg-type]
    return (design.family, *(knob for knob in knobs if knob[0] not in SIZES))


def _machines(run: RunRecord) -> set[tuple[str, ...]]:
    """The machines of all starts of a run; of an earlier version that of the first, or one that is not recorded."""
    where = run.environment
    if where is None:
        return {()}
    first = (where.processor, where.cores, where.threads, where.version("torch"))
    later = (
        (start.processor, str(start.cores or ""), start.threads, start.packages.get("torch") or "")
        for start in where.starts
    )
    return {first, *later}


def _departures(run: RunRecord) -> tuple[str, ...]:
    """The points in which a run differs from its recipe."""
    return (*run.beginning.departures, *sentences(run.outcome.departures))


def nearest_pairs(groups: Sequence[Group]) -> tuple[tuple[Group, Group], ...]:
    """The pairs of which one is the other's nearest in parameters of its kind and training; all pairs of a single kind.

    Two sizes of one kind are a pair only if their parameters are equal within the tolerance of budgets.
    """

    def distance(one: Group, other: Group) -> float:
        return abs(math.log(max(one.row.parameters, 1) / max(other.row.parameters, 1)))

    def compared(one: Group, other: Group) -> bool:
        ours, theirs = sizes_of(one, groups), sizes_of(other, groups)
        if one in theirs:
            return distance(one, other) <= math.log(TOLERANCE)
        nearest = (min(distance(one, size) for size in theirs), min(distance(other, size) for size in ours))
        return distance(one, other) in nearest

    every = tuple(combinations(groups, 2))
    return tuple(pair for pair in every if compared(*pair)) or every


def _pairs_against(groups: Sequence[Group], design: str) -> tuple[tuple[Group, Group], ...]:
    """Every other group with each group of the baseline design."""
    entry = _entry(design)
    same = [group for group in groups if entry is not None and _is_network_of(entry, group.runs[0])]
    baseline = (
        [group for group in groups if group.row.design == design]
        or same
        or [group for group in groups if group.experiment.design == design]
    )
    return tuple((group, other) for group in groups if group not in baseline for other in baseline)


def sizes_of(like: Group, groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups of the same kind and training, in their order."""
    return tuple(group for group in groups if group.kind == like.kind and set(differing(group, like)) <= {"design"})


def differing(first: Group, second: Group) -> tuple[str, ...]:
    """The fields of the experiments, except the seed, in which two groups differ."""
    names = (field.name for field in fields(Experiment))
    own, other = first.experiment.conditions, second.experiment.conditions
    others = (name for name in names if getattr(own, name) != getattr(other, name))
    return (*(() if first.row.network == second.row.network else ("design",)), *others)
