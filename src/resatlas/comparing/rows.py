"""Designs side by side: which runs belong to one design, and its values over seeds."""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev

from resatlas.comparing.words import presentable
from resatlas.recipes.detection import Classify, Detect
from resatlas.runs.record import Beginning, RunRecord
from resatlas.values.language import said, with_and
from resatlas.values.text import counted


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One value per seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the seeds, with n - 1; None for a single seed or values that are not finite."""
        return stdev(self.values) if len(self.values) > 1 and all(map(math.isfinite, self.values)) else None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Runs that differ only in the seed: one design, its cost, and its values over the seeds.

    `network` is the identity of the design's plan, `design` its label. `images_per_second` is the median over all
    epochs, `seconds` the sum over all seeds.
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


def group_runs(runs: Iterable[RunRecord]) -> tuple[tuple[RunRecord, ...], ...]:
    """The runs in groups that differ only in the seed, in order of appearance.

    Runs are of one design if their plans are equal, whatever their labels, and of one data set if its files are equal.
    """
    groups: dict[Hashable, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(_without_seed(run.beginning), []).append(run)
    return tuple(map(tuple, groups.values()))


def differ_only_in_seed(one: Beginning, other: Beginning) -> bool:
    """Whether two runs are equal in everything except possibly the seed."""
    return _without_seed(one) == _without_seed(other)


def _without_seed(run: Beginning) -> Hashable:
    return replace(run.experiment.conditions, data="", seed=0), run.network, data_identity(run), run.images


def data_identity(run: Beginning) -> Hashable:
    """A key that is equal for runs of one data set: by its files, whatever their path, or by its name.

    Masks count where the error is one of pixels: that of a detector is one of boxes, with masks or without.
    """
    labelled = isinstance(run.experiment.recipe.task, Classify)  # else the recipe decides the size of the plan's image
    images = run.images or run.experiment.data
    if not isinstance(images, str) and isinstance(run.experiment.recipe.task, Detect):
        images = tuple(part for part in images if not part[0].endswith(" masks"))
    return images, run.plan.image if labelled else None, run.classes


def rows_of(groups: Iterable[Sequence[RunRecord]]) -> tuple[Row, ...]:
    """The rows of groups; different designs of one label are numbered, as in my.toml and my.toml (2)."""
    rows = list(map(row_of, groups))
    networks: dict[str, dict[str, None]] = {}
    for row in sorted(rows, key=lambda row: row.parameters):
        networks.setdefault(row.design, {}).setdefault(row.network)
    numbers = {(label, network): k for label, same in networks.items() for k, network in enumerate(same, start=1)}
    return tuple(
        row if (number := numbers[row.design, row.network]) == 1 else replace(row, design=f"{row.design} ({number})")
        for row in rows
    )


def label_notes(runs: Sequence[RunRecord], rows: Sequence[Row]) -> Iterator[str]:
    """A sentence for each label of several designs, and for each design with several labels."""
    sizes: dict[str, dict[str, str]] = {}
    for row in rows:
        label = re.sub(r" \(\d+\)$", "", row.design)
        sizes.setdefault(label, {})[row.network] = said(
            "{design} has {parameters:,} parameters", design=row.design, parameters=row.parameters
        )
    for label, designs in sizes.items():
        if len(designs) > 1:
            yield said(
                "{label} is the label of {count} designs with different plans: {designs}",
                label=label,
                count=len(designs),
                designs=said("; ").join(designs.values()),
            )
    labels: dict[str, dict[str, None]] = {}
    for run in runs:
        labels.setdefault(run.network, {}).setdefault(presentable(run.experiment.design))
    for network, own in labels.items():
        first = next(row.design for row in rows if row.network == network)
        if len(own) > 1:
            yield said(
                "{designs} are the same design, because their plans are equal; shown as {first}",
                designs=with_and(own),
                first=first,
            )


def row_of(runs: Sequence[RunRecord]) -> Row:
    """The row of runs that differ only in the seed.

    Raises: FolderError if a run has no results.
    """
    results = [run.outcome for run in runs]
    first, experiment = results[0], runs[0].experiment
    speeds = [epoch.images_per_second for run in runs for epoch in run.timing]
    validation = tuple(result.validation.error_percent for result in results if result.validation)
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
        seeds=tuple(result.seed for result in results),
        train_loss=Sample(values=tuple(result.train.loss for result in results)),
        validation_error_percent=Sample(values=validation) if len(validation) == len(results) else None,
        test_error_percent=Sample(values=tuple(result.test.error_percent for result in results)),
        images_per_second=median(speeds or [result.images_per_second for result in results]),
        seconds=sum(result.seconds for result in results),
    )


def labels(rows: Sequence[Row]) -> tuple[str, ...]:
    """A label for each row: the shortest of family, family and depth, design, and design with data and recipe.

    No two rows have one label, and no label is the name of another network.
    """
    namings: tuple[Callable[[Row], str], ...] = (
        lambda row: row.family,
        family_and_depth,
        lambda row: row.design,
        lambda row: said(
            "{design} on {data} by {recipe}, {epochs}",
            design=row.design,
            data=row.data,
            recipe=row.recipe,
            epochs=counted(row.epochs, "epoch"),
        ),
    )
    counts = [Counter(map(naming, rows)) for naming in namings]
    unique = []
    for place, row in enumerate(rows):
        free = (naming(row) for naming, uses in zip(namings, counts, strict=True) if uses[naming(row)] == 1)
        unique.append(next(free, f"{row.design} ({place + 1})"))
    return tuple(unique)


def family_and_depth(row: Row) -> str:
    """As in "plain 56"; "plain-56" is the name of one network, and stands for no other."""
    return f"{row.family} {row.depth}"


def data_notes(runs: Iterable[RunRecord]) -> tuple[str, ...]:
    """The notes that the data sets carry, each once."""
    return tuple(dict.fromkeys(run.beginning.note for run in runs if run.beginning.note))
