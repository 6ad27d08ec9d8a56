"""Saving of a finished run or a network as a folder with config.json, model.safetensors and README.md."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError

from resatlas import __version__
from resatlas.arch.cost import cost
from resatlas.data.catalog import NAMED, separated
from resatlas.data.normalisation import Normaliser, normaliser_bytes, read_normaliser
from resatlas.designs.catalog import Entry
from resatlas.designs.citations import papers_of
from resatlas.errors import CheckpointError, FolderError, UsageError
from resatlas.exporting.card import card
from resatlas.exporting.config import (
    CARD,
    CONFIG,
    NORMALISATION,
    WEIGHTS,
    Affine,
    Config,
    Figures,
    Stored,
    Training,
    to_json,
)
from resatlas.exporting.identity import entry_for, entry_of
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.preprocessing import affine_of, as_numbers, preprocessing, view_of
from resatlas.nets.network import Network
from resatlas.nets.preparation import Preparation
from resatlas.recipes.images import Centre
from resatlas.runs import names, record
from resatlas.runs.decoding import read_run
from resatlas.runs.departures import sentences
from resatlas.runs.files import drafted, sha256_of, write_bytes, write_json, write_text
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
    source = _source(what, classes, preparation, of)
    if stored == "fp16" and source.training:
        source = replace(source, training=_rounded(source.training))
    with drafting(target) as draft:
        save_weights(source.network, draft / WEIGHTS, stored=stored)
        config = replace(_config(source, draft), licence=licence)
        write_json(draft / CONFIG, to_json(config))
        write_text(draft / CARD, card(config, papers_of(source.entry) if source.entry else ()))
        from_pretrained(draft)
        if config.normalisation:
            preprocessing(draft)


def _source(
    what: str | Path | Network, classes: Sequence[str] | None, preparation: Preparation | None, of: Epoch
) -> Source:
    if isinstance(what, Network):
        if of == "best":
            raise UsageError('a network has the weights of one epoch; leave out of="best"')
        return _of_network(what, classes, preparation)
    if classes is not None or preparation is not None:
        raise UsageError("a run already has its classes and its preparation; give these arguments only for a network")
    return _of_run(read_run(_path(what)), of)


def _of_network(network: Network, classes: Sequence[str] | None, preparation: Preparation | None) -> Source:
    """A network with the classes and the preparation that its user gives; its design is looked up in the catalogue."""
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


def _of_run(run: RunRecord, of: Epoch) -> Source:
    """The weights of a finished run after its last or its best epoch, and its description."""
    if not run.finished:
        raise FolderError(f"{run.folder} is not finished; continue it with --resume auto, then save it")
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
        training=_training(run) if of == "last" else _training_until_best(run),
    )


def _training(run: RunRecord) -> Training:
    experiment, results = run.experiment, run.outcome
    name, colon, knobs = separated(experiment.data)
    weights = experiment.weights
    return Training(
        data=experiment.data if name in NAMED else f"{Path(name).name}{colon}{knobs}",
        note=run.beginning.note,
        recipe=experiment.recipe.name,
        departures=(*run.beginning.departures, *sentences(results.departures)),
        epochs=results.epochs,
        seed=experiment.seed,
        begun_from=weights and replace(weights, file=Path(weights.file).name),
        train=_figures(results.train),
        validation=_figures(results.validation) if results.validation else None,
        test=_figures(results.test),
    )


def _training_until_best(run: RunRecord) -> Training:
    """The training up to the best epoch, whose weights the run did not test."""
    whole, best = _training(run), best_epoch(run)
    row = run.metrics[best.epoch - 1]
    held, loss = whole.validation, row.validation_loss
    return replace(
        whole,
        epochs=best.epoch,
        departures=(*whole.departures, f"the weights are those after epoch {best.epoch} of {whole.epochs}"),
        train=replace(whole.train, loss=row.train_loss, error_percent=_known(row.train_error_percent)),
        validation=None
        if held is None or loss is None
        else replace(held, loss=loss, error_percent=best.validation_error_percent),
        test=None,
    )


def _rounded(training: Training) -> Training:
    """The training of weights that are rounded when they are saved."""
    note = "the weights are rounded to half precision after the training; the results are those before it"
    return replace(training, departures=(*training.departures, note))


def _figures(results: record.Figures | record.Learnt) -> Figures:
    return Figures(loss=_known(results.loss), error_percent=_known(results.error_percent), images=results.images)


def _known(figure: float | None) -> float:
    """A figure of classification.

    Raises: UsageError if the run has learnt objects, which have none.
    """
    if figure is None:
        raise UsageError("a network that finds objects cannot be saved as one that classifies images")
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
        normalisation=_normalisation(source.normaliser, draft) if source.normaliser else None,
        training=source.training,
        plan=plan,
    )


def _normalisation(normaliser: Normaliser | Affine, draft: Path) -> Affine | Stored:
    """The normalisation as numbers, or, if there are too many, as a separate file.

    The file of weights holds nothing else, since other libraries read it, too.
    """
    if isinstance(normaliser, Affine):
        return normaliser
    numbers = as_numbers(normaliser)
    if numbers:
        return numbers
    write_bytes(draft / NORMALISATION, normaliser_bytes(normaliser))
    return Stored(sha256=sha256_of(draft / NORMALISATION))


def without_folders(design: str) -> str:
    """A DESIGN text; the path of a file is shortened to its name, since folder names are private."""
    return Path(design).name if design.endswith(".toml") else design


def _path(what: object) -> Path:
    if not isinstance(what, str | Path):
        raise UsageError(
            f"save_pretrained needs the folder of a finished run or a Network; got a {type(what).__name__}"
        )
    return Path(what)


def check_target(folder: Path) -> None:
    """Refuse a folder that is not empty.

    Raises: FolderError
    """
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is a file; give a new or empty folder")
    try:
        is_occupied = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise _unwritable(folder, error) from None
    if is_occupied:
        raise FolderError(f"{folder} is not empty; give a new or empty folder")


@contextmanager
def drafting(target: Path) -> Iterator[Path]:
    """A hidden folder next to the target, which is renamed to the target at the end, or removed after an error.

    Raises: FolderError if nothing can be written there.
    """
    place = target.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with drafted(place, within=place.parent) as draft:
            yield draft
    except (OSError, SafetensorError) as error:
        raise _unwritable(target, error) from None


def _unwritable(folder: Path, error: OSError | SafetensorError) -> FolderError:
    reason = getattr(error, "strerror", None) or str(error)
    return FolderError(f"{folder} cannot be written: {reason.lower()}")
