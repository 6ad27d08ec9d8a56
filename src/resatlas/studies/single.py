"""One experiment from end to end: checked, trained, tested once, its results written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.arch.plan import Plan
from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, Parts
from resatlas.designs import catalog as designs
from resatlas.designs.catalog import Entry
from resatlas.errors import FolderError, ResatlasError
from resatlas.runs.experiment import Experiment, digest
from resatlas.runs.files import write_json
from resatlas.runs.store import Run, begin, check_free, check_writable, find

if TYPE_CHECKING:  # checking an experiment needs no torch
    from resatlas.nets.network import Network
    from resatlas.training.session import Material, Watcher

SAVE_EVERY = 30.0
"""Seconds between checkpoints at the ends of epochs, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment that was checked: its design, data and images are there, and its folder can be used."""

    experiment: Experiment
    entry: Entry
    plan: Plan
    data: DataSet
    parts: Parts
    folder: Path


def read_parts(data: DataSet) -> Parts:
    """The images of a data set."""
    return data.read()


def prepare(
    experiment: Experiment,
    *,
    out: Path,
    resume: str | None = None,
    read: Callable[[DataSet], Parts] = read_parts,
) -> Prepared:
    """Check design, data and folder, in that order and without torch, then read the images.

    Raises: UnknownName, DesignError, BlueprintError, DataError, FolderError.
    """
    entry = designs.resolve(experiment.design)
    data = datasets.resolve(experiment.data)
    plan = entry.plan(image=data.image, classes=len(data.classes))
    check_writable(out)
    begun = (out / "experiment.json").exists()
    if resume is None or not begun:
        check_free(out)
    if resume not in (None, "auto") and not begun:
        raise FolderError(f"{out} has no run to resume; leave out --resume to begin one")
    if begun and (digest(find(out).experiment) != digest(experiment) or find(out).plan != plan):
        raise FolderError(f"{out} holds another experiment; give another folder with --out")
    return Prepared(experiment=experiment, entry=entry, plan=plan, data=data, parts=read(data), folder=out)


def carry_out(
    prepared: Prepared, *, watcher: "Watcher", resume: str | None = None, save_every: float = SAVE_EVERY
) -> dict[str, Any]:
    """Train a prepared experiment to its end and test it once; its results, also those of a run finished before.

    Raises: Stopped, NonFiniteError, CheckpointError.
    """
    experiment, data = prepared.experiment, prepared.data
    if (prepared.folder / "experiment.json").exists():
        run = find(prepared.folder)
        run.settle()
        if run.finished:
            watcher.on_note(f"{run.folder} is finished: nothing is left to train")
            return run.results
    else:
        run = begin(prepared.folder, experiment, prepared.plan, classes=list(data.classes), note=data.note)
    with run.locked():
        return _train_and_conclude(run, prepared, watcher=watcher, resume=resume, save_every=save_every)


def train(experiment: Experiment, out: str | Path | None = None, *, resume: str | None = None) -> dict[str, Any]:
    """Train an experiment and test it once; its results, as in results.json of its folder.

    `out` is runs/<data>-<design>-<recipe>-s<seed> by default; `resume` is "auto" or a checkpoint.
    Raises: UsageError, DataError, Stopped, NonFiniteError, CheckpointError.
    """
    from resatlas.training.session import UNWATCHED

    folder = Path("runs") / experiment.run_name if out is None else Path(out)
    return carry_out(prepare(experiment, out=folder, resume=resume), watcher=UNWATCHED, resume=resume)


def retest(folder: Path) -> dict[str, Any]:
    """Test the newest checkpoint of a finished run again; the values by name.

    Raises: FolderError if there is no run or it is not finished; CheckpointError.
    """
    run = find(folder)
    if not run.finished:
        raise FolderError(f"{folder} is not finished; the test set is touched once, after the last epoch")
    experiment = run.experiment
    data = datasets.resolve(experiment.data)
    parts = data.read()
    from resatlas.evaluation.classification import answers, classification, predictions
    from resatlas.evaluation.predictions import write_predictions
    from resatlas.training.session import material, trained

    images = material(parts, experiment)
    given = answers(trained(run, experiment), images.test, images.normalisation)
    found = dict(classification(given))
    if found["error_percent"] == run.results["test"]["error_percent"]:  # else the file goes on telling of the results
        write_predictions(run.folder / "predictions.csv", predictions(given), data.classes)
    return found


def _train_and_conclude(
    run: Run, prepared: Prepared, *, watcher: "Watcher", resume: str | None, save_every: float
) -> dict[str, Any]:
    """What `carry_out` does with a run that it has for itself."""
    from resatlas.evaluation.classification import answers, classification
    from resatlas.training import checkpoint
    from resatlas.training.session import material, train

    experiment, data = prepared.experiment, prepared.data
    found: Path | None = None
    if resume == "auto":
        found, rejected = checkpoint.newest_valid(run.checkpoints)
        for each in rejected:
            watcher.on_note(f"checkpoint {each.name} {each.reason}")
        watcher.on_note(f"resumes from {found.name}" if found else "no valid checkpoint: starts from the beginning")
    elif resume:
        found = Path(resume)
    images = material(prepared.parts, experiment)
    state = train(
        run,
        experiment,
        data=data,
        images=images,
        resume=found,
        save_every=save_every,
        evaluate=lambda network, part, normalisation: classification(answers(network, part, normalisation)),
        watcher=watcher,
    )
    try:
        return _conclude(run, prepared, state.network, images)
    except ResatlasError as error:
        run.set_status("failed", epoch=state.epoch, reason=str(error))
        raise


def _conclude(run: Run, prepared: Prepared, network: "Network", images: "Material") -> dict[str, Any]:
    """Touch the test set for the only time, and write the results."""
    from resatlas.evaluation.classification import answers, classification, predictions
    from resatlas.evaluation.predictions import write_predictions
    from resatlas.training.loop import finite

    experiment, total, lengths = prepared.experiment, cost(prepared.plan), mean_lengths(prepared.plan)
    last, timing = run.metrics[-1], run.timing
    seconds = sum(row["seconds"] for row in timing)
    results: dict[str, Any] = {
        "design": experiment.design,
        "family": prepared.entry.family,
        "depth": lengths.longest if prepared.entry.depth is None else prepared.entry.depth,
        "data": experiment.data,
        "recipe": experiment.recipe.name,
        "seed": experiment.seed,
        "epochs": experiment.recipe.epochs,
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
        "mean_path_length": float(lengths.mean),
        "seconds": seconds,
        "images_per_second": sum(row["images"] for row in timing) / max(seconds, 1e-9),
        "train": {
            "loss": last["train_loss"],
            "error_percent": last["train_error_percent"],
            "images": len(images.train),
        },
    }
    if images.validation:
        held_back = answers(network, images.validation, images.normalisation)
        results["validation"] = dict(classification(held_back))
    tested = answers(network, images.test, images.normalisation)
    results["test"] = finite(dict(classification(tested)), of="on the test images")
    write_predictions(run.folder / "predictions.csv", predictions(tested), prepared.data.classes)
    write_json(run.folder / "results.json", results)
    run.set_status("finished", epoch=experiment.recipe.epochs)
    return results
