"""Saving of a finished run that finds objects or the classes of pixels, as a folder of the files of a classifier."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from resatlas import __version__
from resatlas.arch.cost import cost
from resatlas.designs.citations import papers_of
from resatlas.errors import UsageError
from resatlas.exporting.config import CARD, CONFIG, WEIGHTS, Config
from resatlas.exporting.drafts import drafting
from resatlas.exporting.found_card import found_card
from resatlas.exporting.found_config import FoundConfig, FoundTraining, Measures, to_json
from resatlas.exporting.found_loading import found_in
from resatlas.exporting.identity import entry_of
from resatlas.exporting.preprocessing import preprocessing
from resatlas.exporting.provenance import begun_from, data_of, departures_of, without_folders, written_normalisation
from resatlas.nets.detector import Detector
from resatlas.nets.segmenter import Segmenter
from resatlas.recipes.task_cost import multiply_adds
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.files import sha256_of, write_json, write_text
from resatlas.runs.record import Epoch, RunRecord
from resatlas.training.splits import normaliser_of
from resatlas.training.starting import best_epoch, trained_state
from resatlas.values.weights import Storage
from resatlas.weights.conversion import save_weights


def save_found(run: RunRecord, target: Path, *, of: Epoch, stored: Storage, licence: str | None) -> None:
    """Save a finished run that finds objects as a new folder, as `save_pretrained`.

    Raises: as there.
    """
    module = trained_state(run, as_carried_out(run.beginning), of).tested
    if not isinstance(module, Detector | Segmenter):
        raise UsageError(f"{run.folder} classifies images")
    entry = entry_of(run.experiment, run.plan)
    with drafting(target) as draft:
        save_weights(module, draft / WEIGHTS, stored=stored)
        total, normaliser = cost(run.plan), normaliser_of(run)
        network = Config(
            library=f"resatlas {__version__}",
            design=without_folders(run.experiment.design),
            family=run.outcome.family,
            image=run.plan.image,
            classes=0,
            class_names=None,
            parameters=total.parameters,
            multiply_adds=total.multiply_adds,
            weights_sha256=sha256_of(draft / WEIGHTS),
            layout=run.experiment.layout,
            view=None,
            normalisation=written_normalisation(normaliser, draft) if normaliser else None,
            training=None,
            licence=licence,
            plan=run.plan,
        )
        config = FoundConfig(
            task=module.task,
            class_names=run.classes,
            parameters=sum(weight.numel() for weight in module.parameters()),
            multiply_adds=multiply_adds(run.plan, module.task),
            training=_training(run, of, stored),
            network=network,
        )
        write_json(draft / CONFIG, to_json(config))
        write_text(draft / CARD, found_card(config, papers_of(entry) if entry else ()))
        found_in(draft)
        preprocessing(draft)


def _training(run: RunRecord, of: Epoch, stored: Storage) -> FoundTraining:
    """The training up to the epoch of the weights; the run did not test those of its best one."""
    experiment, results = run.experiment, run.outcome
    validation, test = (
        _measures(run.written[part]) if run.written.get(part) else None for part in ("validation", "test")
    )
    whole = FoundTraining(
        data=data_of(experiment),
        note=run.beginning.note,
        recipe=experiment.recipe.name,
        departures=departures_of(run, epoch=results.epochs, stored=stored),
        epochs=results.epochs,
        seed=experiment.seed,
        begun_from=begun_from(experiment),
        train=replace(results.train, skipped_steps=None),
        validation=validation,
        test=test,
    )
    if of == "last":
        return whole
    best = best_epoch(run)
    error: dict[str, float | None] = {"error_percent": best.validation_error_percent}
    return replace(
        whole,
        departures=departures_of(run, epoch=best.epoch, stored=stored),
        epochs=best.epoch,
        train=replace(whole.train, loss=run.metrics[best.epoch - 1].train_loss),
        validation=validation and Measures(images=validation.images, values=error, classes={}),
        test=None,
    )


def _measures(written: dict[str, Any]) -> Measures:
    """The results of one part as results.json has them."""
    classes = {
        row["class"]: {name: value for name, value in row.items() if name != "class"} for row in written["classes"]
    }
    values = {name: value for name, value in written.items() if name not in ("images", "measure", "classes")}
    return Measures(images=written["images"], values=values, classes=classes)
