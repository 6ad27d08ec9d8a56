"""What a training did otherwise than its user would assume, counted when it has ended."""

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
    """The departures of a run that has trained to its end, from its files and its answers."""
    begun, rows = run.beginning(), read_rows(run.folder / METRICS, EpochRow)
    mended = {name for change in amendments(run.folder) for name in change.mended}
    broken = Counter(each.part for each in unreadable(run.folder) if f"{each.part}/{each.file}" not in mended)
    return Departures(
        unreadable_images=Unread(train=broken["train"], validation=broken["validation"], test=broken["test"]),
        substituted_images=sum(row.substituted_images or 0 for row in rows),
        mended_images=len(mended),
        left_over_images=left_over(begun.experiment.recipe, len(images.train)),
        classes_without_images=Untested(
            validation=_without(begun.classes, held_back), test=_without(begun.classes, tested)
        ),
        skipped_steps=rows[-1].skipped_steps or 0,
        overflows=rows[-1].overflows or 0,
    )


def left_over(recipe: Recipe, images: int) -> int:
    """Images of an epoch that no batch has: an epoch of one batch has all of them."""
    return images % recipe.batch if recipe.leftover == "dropped" and images > recipe.batch else 0


def _without(classes: Sequence[str], answers: "Predictions | None") -> tuple[str, ...]:
    """The classes of which a part had no image to be tested."""
    known = range(len(classes)) if answers is None else set(answers.labels.tolist())
    return tuple(name for k, name in enumerate(classes) if k not in known)
