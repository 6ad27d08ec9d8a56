"""The images of an experiment, split into parts, and their pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from resatlas.data.annotated_batches import annotated_pipeline
from resatlas.data.batches import pipeline_for
from resatlas.data.boxes import AnnotatedImages, AnnotatedParts, DetectionData, held_back
from resatlas.data.dataset import DataSet, Mirror, Part, Parts, hold_back
from resatlas.data.normalisation import Normaliser, read_normaliser
from resatlas.data.pipeline import Pipeline
from resatlas.recipes.detection import needs_masks
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


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedSplits:
    """The images with objects of an experiment, split into parts, their pipeline, and whether they can be mirrored."""

    train: AnnotatedImages
    validation: AnnotatedImages | None
    test: AnnotatedImages
    pipeline: Pipeline
    mirror: Mirror


def split_annotated(
    parts: AnnotatedParts,
    experiment: Experiment,
    data: DetectionData,
    *,
    normaliser: Normaliser | None = None,
    workers: int = 1,
) -> AnnotatedSplits:
    """As `split_images`, for images with objects."""
    train, validation, test = parts.train, parts.validation, parts.test
    if not needs_masks(experiment.recipe.task):
        train, test = train.without_masks(), test.without_masks()
        validation = validation and validation.without_masks()
    if validation is None:
        train, validation = held_back(train, experiment.recipe.validation)
    pipeline = annotated_pipeline(experiment.recipe, data, train, normaliser=normaliser, workers=workers)
    return AnnotatedSplits(train=train, validation=validation, test=test, pipeline=pipeline, mirror=data.mirror)


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
