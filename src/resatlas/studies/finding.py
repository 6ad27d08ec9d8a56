"""A training on objects: its images, its measures, and the test at its end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resatlas.data.boxes import AnnotatedImages, AnnotatedParts, DetectionData
from resatlas.errors import DataError
from resatlas.evaluation.detections import write_detections
from resatlas.evaluation.finding import Found, detections_of, figures, find, in_all, measure_of
from resatlas.evaluation.portions import Portion
from resatlas.recipes.detection import Detect, Segment
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.files import write_json
from resatlas.runs.names import DETECTIONS, RESULTS
from resatlas.runs.store import Run
from resatlas.studies.concluding import trained_results
from resatlas.studies.counting import departures_of
from resatlas.studies.entering import finish
from resatlas.training.distributed import World
from resatlas.training.rows import Measures
from resatlas.training.splits import AnnotatedSplits, normaliser_of, split_annotated
from resatlas.training.state import TrainState
from resatlas.values.codec import encode

if TYPE_CHECKING:
    from resatlas.studies.single import Prepared


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """The course of such a training."""

    run: Run
    prepared: "Prepared"
    task: Detect | Segment
    images: AnnotatedSplits
    world: World
    portion: Portion

    def measures(self, state: TrainState) -> Measures:
        """The measures of the whole on the images held back; without any object there is none."""
        assert self.images.validation is not None  # noqa: S101 - called only if there are any
        found = self._find(state, self.images.validation)
        yield from in_all(figures(self.images.validation, found, self.task)).items()

    def conclude(self, state: TrainState) -> dict[str, Any]:
        """Test on the images of validation and test, and write results and detections."""
        validation = self.images.validation
        held_back = self._find(state, validation) if validation else None
        tested = self._find(state, self.images.test)
        weights = sum(weight.numel() for weight in state.module.parameters())
        return self.world.lead(lambda: self._written(held_back, tested, weights))

    def _find(self, state: TrainState, part: AnnotatedImages) -> Found:
        return find(state.tested, part, self.images.pipeline, self.task, batch=self.portion.size, processes=self.world)

    def _written(self, held_back: Found | None, tested: Found, weights: int) -> dict[str, Any]:
        run, images = self.run, self.images
        results = trained_results(run, self.prepared, images=len(images.train))
        results["parameters_with_heads"] = weights
        if images.validation and held_back is not None:
            results["validation"] = measured(images.validation, held_back, self.task)
        results["test"] = measured(images.test, tested, self.task)
        results["departures"] = encode(departures_of(run, images=len(images.train)))
        run.check_held()
        write_detections(run.folder / DETECTIONS, detections_of(tested))
        write_json(run.folder / RESULTS, results, within=run.folder)
        finish(run)
        return results


def finding(
    run: Run, prepared: "Prepared", data: DetectionData, parts: AnnotatedParts, *, world: World, portion: Portion
) -> Finding:
    """The course of a run, its images split.

    Raises: TypeError if its recipe learns labels.
    """
    experiment = as_carried_out(run.beginning())
    if not isinstance(experiment.recipe.task, Detect | Segment):
        raise TypeError(f"recipe {experiment.recipe.name} learns labels")
    images = split_annotated(parts, experiment, data, normaliser=normaliser_of(run), workers=prepared.execution.workers)
    return Finding(run=run, prepared=prepared, task=experiment.recipe.task, images=images, world=world, portion=portion)


def measured(truth: AnnotatedImages, found: Found, task: Detect | Segment) -> dict[str, Any]:
    """The measures of a part as results.json has them: null where nothing is there to be found.

    Raises: DataError if there is nothing to be found at all.
    """
    values: Mapping[str, float | None] = dict(figures(truth, found, task))
    if values["error_percent"] is None:
        raise DataError("the images have no object that counts, so that nothing can be measured on them")
    whole = {name: value for name, value in values.items() if ": " not in name}
    return {**whole, "images": len(truth), "measure": measure_of(task), "classes": list(_classes(values))}


def _classes(values: Mapping[str, float | None]) -> Iterator[dict[str, str | float | None]]:
    """The measures of each class: of `ap: cat` and `mask_ap: cat`, those of the class cat."""
    classes: dict[str, dict[str, str | float | None]] = {}
    for key, value in values.items():
        name, colon, label = key.partition(": ")
        if colon:
            classes.setdefault(label, {"class": label})[name] = value
    yield from classes.values()
