"""A finished run, or a network, as a folder that travels: config.json, model.safetensors and README.md."""

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
from resatlas.exporting.identity import recognised, resolved
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.preprocessing import affine_of, as_numbers, preprocessing, view_of
from resatlas.nets.network import Network
from resatlas.nets.preparation import Preparation
from resatlas.recipes.images import Centre
from resatlas.runs import names, record
from resatlas.runs.decoding import read_run
from resatlas.runs.departures import sentences
from resatlas.runs.files import drafted, sha256_of, write_bytes, write_json, write_text
from resatlas.runs.record import RunRecord
from resatlas.runs.store import check_writable
from resatlas.training.starting import trained
from resatlas.weights.conversion import save_weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """What is saved: a network, and what is known of it. `entry` is its design, where that is at hand."""

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
) -> None:
    """Write a finished run, by its folder, or a network as a new folder that `from_pretrained` loads anywhere.

    Of a network that was trained elsewhere, `classes` are the names of its classes in the order of its outputs, and
    `preparation` is what its images went through; a run knows both. The folder appears whole or not at all, and only
    once it was loaded again.
    Raises: FolderError if it is occupied or cannot be written, or if the run is none or not finished; UsageError if
        classes or preparation do not suit the network, or are given for a run; CheckpointError if there are no weights
        that can be used; DesignError if a network is no longer what its plan says.
    """
    target = Path(folder)
    _check_free(target)
    check_writable(target)
    source = _source(what, classes, preparation)
    with _drafted(target) as draft:
        save_weights(source.network, draft / WEIGHTS)
        config = _config(source, draft)
        write_json(draft / CONFIG, to_json(config))
        write_text(draft / CARD, card(config, papers_of(source.entry) if source.entry else ()))
        from_pretrained(draft)
        if config.normalisation:
            preprocessing(draft)


def _source(what: str | Path | Network, classes: Sequence[str] | None, preparation: Preparation | None) -> Source:
    if isinstance(what, Network):
        return _of_network(what, classes, preparation)
    if classes is not None or preparation is not None:
        raise UsageError("a run knows its classes and how its images are prepared; give them for a network alone")
    return _of_run(read_run(_path(what)))


def _of_network(network: Network, classes: Sequence[str] | None, preparation: Preparation | None) -> Source:
    """A network with what its user knows of it; its design is looked for in the catalogue."""
    if any(tensor.is_meta for tensor in network.state_dict().values()):
        raise CheckpointError('a network on the device "meta" has no weights to save; build it on another')
    plan = network.checked_plan()
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes or ()):
        raise UsageError("classes are a sequence of texts, one for each output")
    if classes is not None and len(classes) != plan.classes:
        raise UsageError(f"{len(classes):,} classes are named, and the network has {plan.classes:,} outputs")
    entry = recognised(plan)
    return Source(
        network=network,
        entry=entry,
        design=entry.name if entry else None,
        family=entry.family if entry else None,
        class_names=None if classes is None else tuple(classes),
        view=view_of(preparation) if preparation else None,
        normaliser=affine_of(preparation, plan.image.channels) if preparation else None,
    )


def _of_run(run: RunRecord) -> Source:
    """The last weights of a finished run, and all that it knows."""
    if not run.finished:
        raise FolderError(f"{run.folder} is not finished; finish it with --resume auto, then save it")
    experiment = run.experiment
    return Source(
        network=trained(run, experiment),
        entry=resolved(experiment, run.plan),
        design=_without_folders(experiment.design),
        family=run.outcome.family,
        class_names=run.classes,
        layout=experiment.layout,
        view=experiment.recipe.view,
        normaliser=read_normaliser(run.folder / names.NORMALISATION),
        training=_training(run),
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


def _figures(found: record.Figures) -> Figures:
    return Figures(loss=found.loss, error_percent=found.error_percent, images=found.images)


def _config(source: Source, draft: Path) -> Config:
    """What is known, beside the weights that lie in the draft already."""
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
    """The normalisation as numbers, or as a file of its own.

    It does not lie with the weights, so that whoever reads those finds nothing else.
    """
    if isinstance(normaliser, Affine):
        return normaliser
    numbers = as_numbers(normaliser)
    if numbers:
        return numbers
    write_bytes(draft / NORMALISATION, normaliser_bytes(normaliser))
    return Stored(sha256=sha256_of(draft / NORMALISATION))


def _without_folders(design: str) -> str:
    """A DESIGN text, of a file its name alone: whose folders they were is nobody's business."""
    return Path(design).name if design.endswith(".toml") else design


def _path(what: object) -> Path:
    if not isinstance(what, str | Path):
        raise UsageError(
            f"a finished run's folder or a Network is saved; what is of type {type(what).__name__} is neither"
        )
    return Path(what)


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds anything.

    Raises: FolderError
    """
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is a file; give a folder that is new or empty")
    try:
        occupied = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise _unwritable(folder, error) from None
    if occupied:
        raise FolderError(f"{folder} holds files already; give a folder that is new or empty")


@contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """A hidden folder beside the target, which takes its place at the end or is removed.

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
