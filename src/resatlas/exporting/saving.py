"""Saving of a finished run or a network as a folder with config.json, model.safetensors and README.md."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from resatlas import __version__
from resatlas.arch.cost import cost
from resatlas.data.normalisation import Normaliser, read_normaliser
from resatlas.designs.catalog import Entry
from resatlas.designs.citations import papers_of
from resatlas.errors import CheckpointError, FolderError, UsageError
from resatlas.exporting.card import card
from resatlas.exporting.config import CARD, CONFIG, WEIGHTS, Affine, Config, Figures, Training, to_json
from resatlas.exporting.drafts import check_target, drafting
from resatlas.exporting.identity import entry_for, entry_of
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.preprocessing import affine_of, preprocessing, view_of
from resatlas.exporting.provenance import begun_from, data_of, departures_of, without_folders, written_normalisation
from resatlas.nets.network import Network
from resatlas.nets.preparation import Preparation
from resatlas.recipes.detection import Classify
from resatlas.recipes.images import Centre
from resatlas.runs import names, record
from resatlas.runs.decoding import read_run
from resatlas.runs.files import sha256_of, write_json, write_text
from resatlas.runs.record import Epoch, RunRecord
from resatlas.runs.store import check_writable
from resatlas.training.starting import best_epoch, trained
from resatlas.values.weights import Storage
from resatlas.weights.conversion import save_weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A network to save, and what is known about it; `entry` is its design, if available."""

    network: Network
    entry: Entry | None
    design: str | None
    family: str | None
    class_names: tuple[str, ...] | None = None
    layout: Literal["channels-last", "contiguous"] = "contiguous"
    view: Centre | None = None
    normaliser: Normaliser | Affine | None = None
    training: Training | None = None


def save_pretrained(
    what: str | Path | Network,
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    preparation: Preparation | None = None,
    of: Epoch = "last",
    stored: Storage = "own",
    licence: str | None = None,
) -> None:
    """Save a finished run (given by its folder) or a network as a new folder for `from_pretrained`.

    For a network, `classes` are the names of its classes in the order of the outputs, and `preparation` says how images
    were prepared in the training; a run has both. `of` is the epoch of a run whose weights are saved. `stored="fp16"`
    rounds filters and matrices to half precision, for half the bytes; loaded, they are float32 again. `licence` is that
    of the weights, an identifier of SPDX such as Apache-2.0. The folder is written to a draft, loaded as a test, and
    then renamed, so that it is never incomplete.
    Raises: FolderError if the folder is not empty or cannot be written, or if `what` is not a finished run; UsageError
        if classes or preparation do not match the network, or are given for a run; CheckpointError if there are no
        usable weights; DesignError if the network has been changed, so that its plan no longer describes it.
    """
    target = Path(folder)
    check_target(target)
    check_writable(target)
    if isinstance(what, Network):
        source = _of_network(what, classes, preparation, of)
    else:
        run = _run(what, classes, preparation)
        if not isinstance(run.experiment.recipe.task, Classify):
            from resatlas.exporting.found_saving import save_found  # torchvision is slow to import

            save_found(run, target, of=of, stored=stored, licence=licence)
            return
        source = _of_run(run, of, stored)
    with drafting(target) as draft:
        save_weights(source.network, draft / WEIGHTS, stored=stored)
        config = replace(_config(source, draft), licence=licence)
        write_json(draft / CONFIG, to_json(config))
        write_text(draft / CARD, card(config, papers_of(source.entry) if source.entry else ()))
        from_pretrained(draft)
        if config.normalisation:
            preprocessing(draft)


def _run(what: object, classes: Sequence[str] | None, preparation: Preparation | None) -> RunRecord:
    """The finished run of a folder.

    Raises: FolderError if it is not finished; UsageError for something else, or with classes or a preparation.
    """
    if not isinstance(what, str | Path):
        raise UsageError(
            f"save_pretrained needs the folder of a finished run or a Network; got a {type(what).__name__}"
        )
    if classes is not None or preparation is not None:
        raise UsageError("a run already has its classes and its preparation; give these arguments only for a network")
    run = read_run(Path(what))
    if not run.finished:
        raise FolderError(f"{run.folder} is not finished; continue it with --resume auto, then save it")
    return run


def _of_network(network: Network, classes: Sequence[str] | None, preparation: Preparation | None, of: Epoch) -> Source:
    """A network with the classes and the preparation that its user gives; its design is looked up in the catalogue."""
    if of == "best":
        raise UsageError('a network has the weights of one epoch; leave out of="best"')
    if any(tensor.is_meta for tensor in network.state_dict().values()):
        raise CheckpointError('a network on the device "meta" has no weights to save; build it on another')
    plan = network.checked_plan()
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes or ()):
        raise UsageError("classes must be a sequence of texts, one per output")
    if classes is not None and len(classes) != plan.classes:
        raise UsageError(f"got {len(classes):,} class names for a network with {plan.classes:,} outputs")
    if preparation and preparation.interpolation != "bilinear":
        raise UsageError(
            f"a saved network resizes images bilinearly; its preparation says {preparation.interpolation}: use "
            'Preparation(…, interpolation="bilinear") if that is meant'
        )
    entry = entry_for(plan)
    return Source(
        network=network,
        entry=entry,
        design=entry.name if entry else None,
        family=entry.family if entry else None,
        class_names=None if classes is None else tuple(classes),
        view=view_of(preparation) if preparation else None,
        normaliser=affine_of(preparation, plan.image.channels) if preparation else None,
    )


def _of_run(run: RunRecord, of: Epoch, stored: Storage) -> Source:
    """The weights of a finished run after its last or its best epoch, and its description."""
    experiment = run.experiment
    return Source(
        network=trained(run, experiment, of),
        entry=entry_of(experiment, run.plan),
        design=without_folders(experiment.design),
        family=run.outcome.family,
        class_names=run.classes,
        layout=experiment.layout,
        view=experiment.recipe.view,
        normaliser=read_normaliser(run.folder / names.NORMALISATION),
        training=_training(run, stored) if of == "last" else _training_until_best(run, stored),
    )


def _training(run: RunRecord, stored: Storage) -> Training:
    experiment, results = run.experiment, run.outcome
    return Training(
        data=data_of(experiment),
        note=run.beginning.note,
        recipe=experiment.recipe.name,
        departures=departures_of(run, epoch=results.epochs, stored=stored),
        epochs=results.epochs,
        seed=experiment.seed,
        begun_from=begun_from(experiment),
        train=_figures(results.train),
        validation=_figures(results.validation) if results.validation else None,
        test=_figures(results.test),
    )


def _training_until_best(run: RunRecord, stored: Storage) -> Training:
    """The training up to the best epoch, whose weights the run did not test."""
    whole, best = _training(run, stored), best_epoch(run)
    row = run.metrics[best.epoch - 1]
    held, loss = whole.validation, row.validation_loss
    return replace(
        whole,
        epochs=best.epoch,
        departures=departures_of(run, epoch=best.epoch, stored=stored),
        train=replace(whole.train, loss=row.train_loss, error_percent=_known(row.train_error_percent)),
        validation=None
        if held is None or loss is None
        else replace(held, loss=loss, error_percent=best.validation_error_percent),
        test=None,
    )


def _figures(results: record.Figures | record.Learnt) -> Figures:
    return Figures(loss=_known(results.loss), error_percent=_known(results.error_percent), images=results.images)


def _known(figure: float | None) -> float:
    """A figure of classification, which every run of it has."""
    assert figure is not None  # noqa: S101 - only runs on objects have none
    return figure


def _config(source: Source, draft: Path) -> Config:
    """The config of the network whose weights are in the draft."""
    plan = source.network.plan
    total = cost(plan)
    return Config(
        library=f"resatlas {__version__}",
        design=source.design,
        family=source.family,
        image=plan.image,
        classes=plan.classes,
        class_names=source.class_names,
        parameters=total.parameters,
        multiply_adds=total.multiply_adds,
        weights_sha256=sha256_of(draft / WEIGHTS),
        layout=source.layout,
        view=source.view,
        normalisation=written_normalisation(source.normaliser, draft) if source.normaliser else None,
        training=source.training,
        plan=plan,
    )
