"""Designs side by side: their figures over seeds, and what the differences between them can mean."""

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from itertools import combinations
from statistics import fmean, harmonic_mean, median, stdev

from resatlas.errors import FolderError
from resatlas.recipes.recipe import with_epochs
from resatlas.reporting.words import presentable
from resatlas.runs.experiment import Experiment
from resatlas.runs.files import read_json
from resatlas.runs.store import Run

LEVEL = 0.05
"""Chance of naming any difference where there is none."""

APART = 1.10
"""Budgets whose largest is more than this many times their smallest are not equal."""

Wrong = Sequence[Sequence[bool]]
"""Of one design, seed by seed and image by image, whether the answer is wrong."""


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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the runs can say about differences in test error.

    `rows` are all designs, in order of appearance; `obstacles` say why the runs may not be compared at all.
    `smallest_points` is the smallest difference that could have shown, in points of test error;
    None where there are obstacles or fewer than two rows to compare.
    """

    rows: tuple[Row, ...]
    images: int
    obstacles: tuple[str, ...]
    smallest_points: float | None

    @property
    def compared(self) -> tuple[Row, ...]:
        """The rows of two seeds or more."""
        return tuple(each for each in self.rows if len(each.seeds) > 1)

    @property
    def single(self) -> tuple[Row, ...]:
        """The rows of one seed."""
        return tuple(each for each in self.rows if len(each.seeds) == 1)


def groups(runs: Iterable[Run]) -> tuple[tuple[Run, ...], ...]:
    """The runs parted into those that differ in nothing but the seed, in order of appearance."""
    found: dict[Experiment, list[Run]] = {}
    for run in runs:
        found.setdefault(replace(run.experiment, seed=0), []).append(run)
    return tuple(map(tuple, found.values()))


def rows(runs: Iterable[Run]) -> tuple[Row, ...]:
    """One row a design, in order of appearance; a design under two recipes or on two data sets has two.

    Raises: FolderError if a run has no results, or other ones.
    """
    return tuple(map(row, groups(runs)))


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


def compare(runs: Sequence[Run]) -> Comparison:
    """The comparison of test errors over all designs of two seeds or more.

    Raises: FolderError if results or predictions are missing.
    """
    parted = [(row(group), group) for group in groups(runs)]
    several = [(each, group) for each, group in parted if len(group) > 1]
    answers = {run: wrong_answers(run) for run in runs}
    unequal = unequal_conditions(runs, answers)
    obstacles = [f"the runs differ in more than design and seed: {'; '.join(unequal)}"] if unequal else []
    obstacles += [f"{each.design} has a seed twice" for each, _ in several if len(set(each.seeds)) < len(each.seeds)]
    smallest = None
    if len(several) > 1 and not obstacles:
        order = sorted(answers[runs[0]])
        smallest = 100 * smallest_difference(
            [[[answers[run][image] for image in order] for run in group] for _, group in several]
        )
    return Comparison(
        rows=tuple(each for each, _ in parted),
        images=len(answers[runs[0]]) if runs else 0,
        obstacles=tuple(obstacles),
        smallest_points=smallest,
    )


def smallest_difference(wrong: Sequence[Wrong]) -> float:
    """q·√(s²/n + MS/m): the smallest difference in error that does not pass for chance, at the 5 % level.

    s² is the pooled variance of the seeds' errors within the k designs, n the number of seeds (harmonic mean), MS
    the mean square of the interaction of design and image (shares of wrong seeds, less the means of design and
    image), m the number of images, q the 95 % point of Tukey's studentised range of k means with Σ(nᵢ - 1) degrees
    of freedom, so that all pairs are covered at once.

    Both parts are needed: other seeds would give other networks, and other test images would be hard for other
    designs; s² alone speaks of these very images, MS alone of these very networks. The difficulty that an image has
    for all designs cancels, as all see the same images. It is conservative: what depends on seed and image together
    stands in s² as well as in MS, thus counts twice, and the many degrees of freedom of MS are left out.
    It says nothing unless recipe, epochs and data are the same for all.
    """
    import numpy as np

    counts = [len(seeds) for seeds in wrong]
    degrees = sum(counts) - len(counts)
    errors = [np.mean(seeds, axis=1) for seeds in wrong]
    seed_variance = sum(float(((each - each.mean()) ** 2).sum()) for each in errors) / degrees
    shares = np.array([np.mean(seeds, axis=0) for seeds in wrong])
    designs, images = shares.shape
    residual = shares - shares.mean(axis=1, keepdims=True) - shares.mean(axis=0) + shares.mean()
    interaction = float((residual**2).sum()) / ((designs - 1) * max(images - 1, 1))
    return studentized_range(designs, degrees) * math.sqrt(seed_variance / harmonic_mean(counts) + interaction / images)


@cache
def studentized_range(means: int, degrees: int) -> float:
    """The point that the studentised range of so many means exceeds with a chance of 5 %."""
    from scipy.stats import studentized_range as distribution

    return float(distribution.ppf(1 - LEVEL, means, degrees))


def wrong_answers(run: Run) -> Mapping[tuple[str, str], bool]:
    """Of each test image, by id and true class, whether the run's answer is wrong.

    Raises: FolderError if predictions.csv is missing or damaged, or tells another error than results.json.
    """
    file = run.folder / "predictions.csv"
    try:
        lines = csv.DictReader(StringIO(file.read_text(encoding="utf-8")))
        answers = {(line["id"], line["true"]): line["true"] != line["predicted"] for line in lines}
        counted, noted = 100 * fmean(answers.values()), run.results["test"]["error_percent"]
    except (OSError, ValueError, csv.Error, KeyError, TypeError):
        raise FolderError(f"{file} cannot be read; `resatlas evaluate` on the run writes it again") from None
    if not math.isclose(counted, noted, abs_tol=1e-6):
        raise FolderError(f"{file} has {counted:.4f} % wrong, but results.json says {noted:.4f} %")
    return answers


def unequal_conditions(runs: Sequence[Run], answers: Mapping[Run, Mapping[tuple[str, str], bool]]) -> tuple[str, ...]:
    """What the runs differ in besides design and seed, with the values."""
    experiments = [run.experiment for run in runs]
    recipes = {with_epochs(each.recipe, 1) for each in experiments}
    names = sorted({each.name for each in recipes})
    values = {
        "data sets": [presentable(data) for data in sorted({each.data for each in experiments})],
        "epochs": sorted({each.recipe.epochs for each in experiments}),
        "recipes": names if len(names) == len(recipes) else [*names, "with different settings"],
        "precisions": sorted({str(each.precision) for each in experiments}),
    }
    found = [f"{what} ({', '.join(map(str, each))})" for what, each in values.items() if len(each) > 1]
    return (*found, "test images") if len({frozenset(each) for each in answers.values()}) > 1 else tuple(found)


def unequal_budget(shown: Sequence[Row]) -> tuple[str, ...]:
    """Parameters and multiply-adds where the largest is more than 10 % above the smallest."""
    sizes = {
        "parameters": [each.parameters for each in shown],
        "multiply-adds": [each.multiply_adds for each in shown],
    }
    return tuple(
        f"{what} from {min(each):,} to {max(each):,}"
        for what, each in sizes.items()
        if each and max(each) > APART * min(each)
    )


def larger_pairs(comparison: Comparison) -> tuple[tuple[Row, Row], ...]:
    """The pairs (lower, higher) of rows whose test errors are further apart than the smallest difference."""
    limit = comparison.smallest_points
    if limit is None:
        return ()
    ordered = sorted(comparison.compared, key=lambda each: each.test_error_percent.mean)
    return tuple(
        (low, high)
        for low, high in combinations(ordered, 2)
        if high.test_error_percent.mean - low.test_error_percent.mean > limit
    )


def shared_notes(runs: Iterable[Run]) -> tuple[str, ...]:
    """What the data sets say about themselves, each note once."""
    notes = (read_json(run.folder / "experiment.json").get("note") for run in runs)
    return tuple(dict.fromkeys(note for note in notes if isinstance(note, str) and note))
