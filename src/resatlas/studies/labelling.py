"""A training on one label per image: its images, its measures, and the test at its end."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from resatlas.data.dataset import DataSet, ImageFiles, Part, Parts
from resatlas.data.pipeline import Pipeline
from resatlas.evaluation.classification import classification, prediction_rows
from resatlas.evaluation.logits import Predictions, predict, predict_together
from resatlas.evaluation.portions import Portion
from resatlas.evaluation.predictions import write_predictions
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.files import write_json
from resatlas.runs.names import PREDICTIONS, RESULTS
from resatlas.runs.store import Run
from resatlas.studies.concluding import trained_results
from resatlas.studies.counting import count_departures
from resatlas.studies.entering import finish
from resatlas.training.distributed import World
from resatlas.training.loop import finite
from resatlas.training.rows import Measures
from resatlas.training.splits import Splits, normaliser_of, split_images
from resatlas.training.state import TrainState
from resatlas.values.codec import encode

if TYPE_CHECKING:
    from resatlas.studies.single import Prepared

_MOST_LEARNT = 10_000
"""Training images on which a finished network is evaluated, evenly spaced among all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelling:
    """The course of such a training."""

    run: Run
    prepared: "Prepared"
    images: Splits
    world: World
    portion: Portion

    def measures(self, state: TrainState) -> Measures:
        """Loss and error on the images held back."""
        assert self.images.validation is not None  # noqa: S101 - called only if there are any
        return classification(self._predict(state.tested, self.images.validation, self.images.pipeline))

    def conclude(self, state: TrainState) -> dict[str, Any]:
        """Test the network on images of training, validation and test, and write results and predictions."""
        images, network = self.images, state.tested
        skipping = replace(images.pipeline, unreadable="skip")  # training images may not have been decoded before
        learnt = self._predict(network, _evenly(images.train, _MOST_LEARNT), skipping)
        held_back = self._predict(network, images.validation, images.pipeline) if images.validation else None
        tested = self._predict(network, images.test, images.pipeline)
        return self.world.lead(lambda: self._written(learnt, held_back, tested))

    def _predict(self, network: nn.Module, part: Part, pipeline: Pipeline) -> Predictions:
        """The predictions of a part; the images are split among the processes."""
        return predict_together(part, self.world, lambda own: predict(network, own, pipeline, portion=self.portion))

    def _written(self, learnt: Predictions, held_back: Predictions | None, tested: Predictions) -> dict[str, Any]:
        """Write the results and the predictions, seal the run, and return the results.

        Raises: NonFiniteError if a measure is not finite.
        """
        run, images = self.run, self.images
        results = trained_results(run, self.prepared, images=len(images.train))
        results["train_evaluated"] = finite(dict(classification(learnt)), of="on the training images")
        if held_back:
            results["validation"] = dict(classification(held_back))
        results["test"] = finite(dict(classification(tested)), of="on the test images")
        results["departures"] = encode(count_departures(run, images, held_back=held_back, tested=tested))
        names = _names_in(images.test)
        run.check_held()
        write_predictions(run.folder / PREDICTIONS, prediction_rows(tested), self.prepared.classes, names)
        write_json(run.folder / RESULTS, results, within=run.folder)
        finish(run)
        return results


def labelling(
    run: Run,
    prepared: "Prepared",
    data: DataSet,
    parts: Parts,
    *,
    world: World,
    portion: Portion,
    on_note: Callable[[str], None],
) -> Labelling:
    """The course of a run, its images split."""
    images = split_images(
        parts,
        as_carried_out(run.beginning()),
        data,
        normaliser=normaliser_of(run),
        workers=prepared.execution.workers,
        on_note=on_note,
    )
    return Labelling(run=run, prepared=prepared, images=images, world=world, portion=portion)


def _evenly(part: Part, most: int) -> Part:
    """At most this many images of a part, evenly spaced."""
    return part.take(slice(None, None, -(-len(part) // most)))


def _names_in(part: Part) -> tuple[str, ...]:
    """The file names of a part's images, in the order of their ids; empty for images without files."""
    return part.files if isinstance(part, ImageFiles) else ()
