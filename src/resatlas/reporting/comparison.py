"""Designs side by side: which runs are one design's, its figures over seeds."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev

from resatlas.errors import FolderError
from resatlas.reporting.words import presentable
from resatlas.runs.experiment import Experiment
from resatlas.runs.files import read_json
from resatlas.runs.store import Run

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

    `images_per_second` is the median over all epochs, `seconds` the sum over all seeds.
    """

    design: str
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


def groups(runs: Iterable[Run]) -> tuple[tuple[Run, ...], ...]:
    """The runs parted into those that differ in nothing but the seed, in order of appearance."""
    found: dict[Experiment, list[Run]] = {}
    for run in runs:
        found.setdefault(replace(run.experiment, seed=0), []).append(run)
    return tuple(map(tuple, found.values()))


def row(runs: Sequence[Run]) -> Row:
    """The row of runs that differ in nothing but the seed.

    Raises: FolderError if a run has no results, or other ones.
    """
    try:
        results = [run.results for run in runs]
        first, experiment = results[0], runs[0].experiment
        speeds = [epoch["images_per_second"] for run in runs for epoch in run.timing]
        validation = tuple(each["validation"]["error_percent"] for each in results if "validation" in each)
        return Row(
            design=presentable(experiment.design),
            family=first["family"],
            depth=first["depth"],
            data=presentable(experiment.data),
            recipe=presentable(experiment.recipe.name),
            epochs=first["epochs"],
            parameters=first["parameters"],
            multiply_adds=first["multiply_adds"],
            mean_path_length=first["mean_path_length"],
            seeds=tuple(each["seed"] for each in results),
            train_loss=Sample(values=tuple(each["train"]["loss"] for each in results)),
            validation_error_percent=Sample(values=validation) if len(validation) == len(results) else None,
            test_error_percent=Sample(values=tuple(each["test"]["error_percent"] for each in results)),
            images_per_second=median(speeds or [each["images_per_second"] for each in results]),
            seconds=sum(each["seconds"] for each in results),
        )
    except (KeyError, TypeError) as error:
        raise FolderError(f"{runs[0].folder}: its results are not those of a finished run ({error})") from None


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


def shared_notes(runs: Iterable[Run]) -> tuple[str, ...]:
    """What the data sets say about themselves, each note once."""
    notes = (read_json(run.folder / "experiment.json").get("note") for run in runs)
    return tuple(dict.fromkeys(note for note in notes if isinstance(note, str) and note))
