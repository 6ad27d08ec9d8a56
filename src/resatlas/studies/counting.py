"""Departures of a finished training from its recipe: unreadable images, skipped steps and the like, with counts."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resatlas.recipes.recipe import Recipe
from resatlas.runs.amendments import amendments, unreadable
from resatlas.runs.decoding import read_rows
from resatlas.runs.departures import Departures, Unread, Untested
from resatlas.runs.names import METRICS
from resatlas.runs.record import EpochRow
from resatlas.runs.store import Run

if TYPE_CHECKING:
    from resatlas.evaluation.logits import Predictions
    from resatlas.training.splits import Splits


def count_departures(
    run: Run, images: "Splits", *, held_back: "Predictions | None", tested: "Predictions"
) -> Departures:
    """The departures of a run that has been trained to its end, from its files and its predictions."""
    beginning, rows = run.beginning(), read_rows(run.folder / METRICS, EpochRow)
    mended = {name for change in amendments(run.folder) for name in change.mended}
    broken = Counter(image.part for image in unreadable(run.folder) if f"{image.part}/{image.file}" not in mended)
    return Departures(
        unreadable_images=Unread(train=broken["train"], validation=broken["validation"], test=broken["test"]),
        substituted_images=sum(row.substituted_images or 0 for row in rows),
        mended_images=len(mended),
        left_over_images=_left_over(beginning.experiment.recipe, len(images.train)),
        classes_without_images=Untested(
            validation=_absent_classes(beginning.classes, held_back), test=_absent_classes(beginning.classes, tested)
        ),
        skipped_steps=rows[-1].skipped_steps or 0,
        overflows=rows[-1].overflows or 0,
    )


def departures_of(run: Run, *, images: int) -> Departures:
    """Those of a run that has learnt objects of so many images to its end."""
    rows = read_rows(run.folder / METRICS, EpochRow)
    return Departures(
        left_over_images=_left_over(run.beginning().experiment.recipe, images),
        skipped_steps=rows[-1].skipped_steps or 0,
        overflows=rows[-1].overflows or 0,
    )


def _left_over(recipe: Recipe, images: int) -> int:
    """Images of an epoch that are in no batch; an epoch of a single batch contains all images."""
    return images % recipe.batch if recipe.leftover == "dropped" and images > recipe.batch else 0


def _absent_classes(classes: Sequence[str], predictions: "Predictions | None") -> tuple[str, ...]:
    """The classes without an image in a part; none for a part that does not exist."""
    present = range(len(classes)) if predictions is None else set(predictions.labels.tolist())
    return tuple(name for k, name in enumerate(classes) if k not in present)
