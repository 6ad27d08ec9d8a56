"""The images of an experiment, split into parts, and their pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from resatlas.data.batches import pipeline_for
from resatlas.data.dataset import DataSet, Part, Parts, hold_back
from resatlas.data.normalisation import Normaliser, read_normaliser
from resatlas.data.pipeline import Pipeline
from resatlas.runs.experiment import Experiment
from resatlas.runs.names import NORMALISATION
from resatlas.runs.record import RunRecord
from resatlas.runs.store import Run


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """The images of an experiment, split into parts, and their pipeline."""

    train: Part
    validation: Part | None
    test: Part
    pipeline: Pipeline


def split_images(
    parts: Parts,
    experiment: Experiment,
    data: DataSet,
    *,
    normaliser: Normaliser | None = None,
    workers: int = 1,
    on_note: Callable[[str], None] = lambda _: None,
) -> Splits:
    """The parts of a data set as a recipe splits them; statistics are those of the training part.

    A validation part of the data set takes precedence over the images that the recipe holds out.
    """
    recipe = experiment.recipe
    train, validation = parts.train, parts.validation
    if validation is None:
        train, validation = hold_back(train, recipe.validation)
    pipeline = pipeline_for(
        recipe,
        data,
        train,
        normaliser=normaliser,
        unreadable=experiment.unreadable,
        workers=workers,
        on_note=cache(on_note),  # once a training, not once an epoch
    )
    return Splits(train=train, validation=validation, test=parts.test, pipeline=pipeline)


def normaliser_of(run: Run | RunRecord) -> Normaliser | None:
    """The normalisation of a run; None if it has not started to train.

    Raises: CheckpointError if its file is damaged.
    """
    file = run.folder / NORMALISATION
    return read_normaliser(file) if file.exists() else None
