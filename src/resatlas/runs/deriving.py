"""The results of a run checked against their sources: the plan, the rows of its epochs, its predictions."""

import math
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.errors import FolderError, ResatlasError, quoted
from resatlas.recipes.task_cost import multiply_adds
from resatlas.runs.names import FIRST, METRICS, PREDICTIONS, RESULTS, TIMING
from resatlas.runs.record import RunRecord, best_of, identity

_NEAR = 1e-9
"""Relative difference of two numbers that are sums of the same values."""


Pair = tuple[str, Any, Any, str]
"""A key of the results, its value, the value derived from its source, and the source."""


def check_derived(run: RunRecord) -> None:
    """Refuse results that contradict the other files of their run.

    Raises: FolderError with the key and both values.
    """
    for key, value, derived, source in _pairs(run):
        same = math.isclose(value, derived, rel_tol=_NEAR) if isinstance(value, float) else value == derived
        if not same:
            raise FolderError(f"{run.folder / RESULTS}: {key} is {value}, but {source} gives {derived}")


def _pairs(run: RunRecord) -> Iterator[Pair]:
    results, experiment, own = run.outcome, run.experiment, FIRST
    yield "design", results.design, experiment.design, own
    yield "data", results.data, experiment.data, own
    yield "recipe", results.recipe, experiment.recipe.name, own
    yield "seed", results.seed, experiment.seed, own
    yield "epochs", results.epochs, len(run.metrics), METRICS
    yield "epochs", results.epochs, len(run.timing), TIMING
    seconds = sum(row.seconds for row in run.timing)
    yield "seconds", results.seconds, seconds, TIMING
    speed = sum(row.images for row in run.timing) / max(seconds, 1e-9)
    yield "images_per_second", results.images_per_second, speed, TIMING
    if run.metrics:
        last = run.metrics[-1]
        yield "train.loss", results.train.loss, last.train_loss, METRICS
        yield "train.error_percent", results.train.error_percent, last.train_error_percent, METRICS
    if results.best is not None:
        best = best_of(run.metrics)
        yield "best.epoch", results.best.epoch, best and best.epoch, METRICS
        yield "best.checkpoint", results.best.checkpoint, best and best.checkpoint, METRICS
    yield from _of_plan(run)
    if run.predictions is not None:
        wrong = 100 * fmean(guess.true != guess.predicted for guess in run.predictions)
        yield "test.images", results.test.images, len(run.predictions), PREDICTIONS
        yield "test.error_percent", results.test.error_percent, wrong, PREDICTIONS


def _of_plan(run: RunRecord) -> Iterator[Pair]:
    results, source = run.outcome, f"the plan in {run.folder / FIRST}"
    try:
        parameters, lengths = cost(run.plan).parameters, mean_lengths(run.plan)
        work = multiply_adds(run.plan, run.experiment.recipe.task)
    except Exception as error:  # an edited plan can raise any error
        raise FolderError(f"{run.folder / FIRST}: nothing can be counted of its plan: {quoted(str(error))}") from None
    yield "parameters", results.parameters, parameters, source
    yield "multiply_adds", results.multiply_adds, work, source
    yield "mean_path_length", results.mean_path_length, float(lengths.mean), source
    try:
        entry = run.experiment.entry
    except ResatlasError:  # its file lies elsewhere, or it has another name in this version
        return
    if identity(entry.plan(image=run.plan.image, classes=run.plan.classes)) == run.network:
        yield "family", results.family, entry.family, "its design"
        yield "depth", results.depth, lengths.longest if entry.depth is None else entry.depth, "its design"
