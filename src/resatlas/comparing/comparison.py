"""Designs side by side: which runs are one design's, its figures over seeds."""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev

from resatlas.comparing.words import listed, presentable
from resatlas.runs.record import Beginning, RunRecord

APART = 1.10
"""Budgets whose largest is more than this many times their smallest are not equal."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One value a seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the seeds, with n - 1; None for a single seed."""
        return stdev(self.values) if len(self.values) > 1 and all(map(math.isfinite, self.values)) else None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Runs that differ in nothing but the seed: one design, its cost, and its figures over the seeds.

    `network` is the identity of the design's plan, of which `design` is the label.
    `images_per_second` is the median over all epochs, `seconds` the sum over all seeds.
    """

    design: str
    network: str
    family: str
    depth: int
    data: str
    recipe: str
    epochs: int
    parameters: int
    multiply_adds: int
    mean_path_length: float
    seeds: tuple[int, ...]
    train_loss: Sample
    validation_error_percent: Sample | None
    test_error_percent: Sample
    images_per_second: float
    seconds: float


def groups(runs: Iterable[RunRecord]) -> tuple[tuple[RunRecord, ...], ...]:
    """The runs parted into those that differ in nothing but the seed, in order of appearance.

    Runs are of one design if their plans are equal, whatever it was called, and of one data set if its files are.
    """
    found: dict[Hashable, list[RunRecord]] = {}
    for run in runs:
        found.setdefault(_but_for_the_seed(run.beginning), []).append(run)
    return tuple(map(tuple, found.values()))


def of_one_design(one: Beginning, other: Beginning) -> bool:
    """Whether two runs differ in nothing but the seed."""
    return _but_for_the_seed(one) == _but_for_the_seed(other)


def _but_for_the_seed(run: Beginning) -> Hashable:
    return replace(run.experiment, design="", data="", seed=0), run.network, same_data(run)


def same_data(run: Beginning) -> Hashable:
    """What two runs share only if they are of one data set: by its files, whatever its path, or by its name."""
    return run.images or run.experiment.data, run.plan.image, run.classes


def rows(parted: Iterable[Sequence[RunRecord]]) -> tuple[Row, ...]:
    """The rows of groups, in which different designs of one label are numbered, as in my.toml and my.toml (2)."""
    made = list(map(row, parted))
    meant: dict[str, dict[str, None]] = {}
    for each in sorted(made, key=lambda each: each.parameters):
        meant.setdefault(each.design, {}).setdefault(each.network)
    places = {(label, network): k for label, found in meant.items() for k, network in enumerate(found, start=1)}
    numbers = [places[each.design, each.network] for each in made]
    return tuple(
        each if number == 1 else replace(each, design=f"{each.design} ({number})")
        for each, number in zip(made, numbers, strict=True)
    )


def about_labels(runs: Sequence[RunRecord], shown: Sequence[Row]) -> Iterator[str]:
    """A sentence for each label that several designs have, and for each design that has several labels."""
    sizes: dict[str, dict[str, str]] = {}
    for each in shown:
        label = re.sub(r" \(\d+\)$", "", each.design)
        sizes.setdefault(label, {})[each.network] = f"{each.design} has {each.parameters:,} parameters"
    for label, found in sizes.items():
        if len(found) > 1:
            yield f"{label} names {len(found)} designs, whose plans differ: {'; '.join(found.values())}"
    names: dict[str, dict[str, None]] = {}
    for run in runs:
        names.setdefault(run.network, {}).setdefault(presentable(run.experiment.design))
    for network, own in names.items():
        first = next(each.design for each in shown if each.network == network)
        if len(own) > 1:
            yield f"{listed(own)} are one design, since their plans are equal; it is shown as {first}"


def row(runs: Sequence[RunRecord]) -> Row:
    """The row of runs that differ in nothing but the seed.

    Raises: FolderError if a run has no results.
    """
    results = [run.outcome for run in runs]
    first, experiment = results[0], runs[0].experiment
    speeds = [epoch.images_per_second for run in runs for epoch in run.timing]
    validation = tuple(each.validation.error_percent for each in results if each.validation)
    return Row(
        design=presentable(experiment.design),
        network=runs[0].network,
        family=first.family,
        depth=first.depth,
        data=presentable(experiment.data),
        recipe=presentable(experiment.recipe.name),
        epochs=first.epochs,
        parameters=first.parameters,
        multiply_adds=first.multiply_adds,
        mean_path_length=first.mean_path_length,
        seeds=tuple(each.seed for each in results),
        train_loss=Sample(values=tuple(each.train.loss for each in results)),
        validation_error_percent=Sample(values=validation) if len(validation) == len(results) else None,
        test_error_percent=Sample(values=tuple(each.test.error_percent for each in results)),
        images_per_second=median(speeds or [each.images_per_second for each in results]),
        seconds=sum(each.seconds for each in results),
    )


def labels(shown: Sequence[Row]) -> tuple[str, ...]:
    """A name for each row: its family where no other row has it, else its design, else design, data and recipe."""
    namings: tuple[Callable[[Row], str], ...] = (
        lambda each: each.family,
        lambda each: each.design,
        lambda each: f"{each.design} on {each.data} by {each.recipe}, {each.epochs} epochs",
    )
    counted = [Counter(map(naming, shown)) for naming in namings]
    names = []
    for place, each in enumerate(shown):
        free = (naming(each) for naming, uses in zip(namings, counted, strict=True) if uses[naming(each)] == 1)
        names.append(next(free, f"{each.design} ({place + 1})"))
    return tuple(names)


def shared_notes(runs: Iterable[RunRecord]) -> tuple[str, ...]:
    """What the data sets say about themselves, each note once."""
    return tuple(dict.fromkeys(run.beginning.note for run in runs if run.beginning.note))
