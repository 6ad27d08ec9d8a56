"""The images of an experiment as a training takes them: split, and what happens to them."""

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
    """The images of an experiment, split, and what happens to them."""

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
    """The parts of a data set as a recipe splits them; what is measured is measured on the training part alone.

    What the data set sets apart for validation comes before what the recipe holds back.
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
    """How a run normalises its images, once it has begun to.

    Raises: CheckpointError if its file is damaged.
    """
    file = run.folder / NORMALISATION
    return read_normaliser(file) if file.exists() else None
