"""One experiment from end to end: checked, trained, tested once, its results written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resatlas.arch.cost import cost
from resatlas.arch.ops import Dropout
from resatlas.arch.paths import mean_lengths
from resatlas.arch.plan import Plan, layers
from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageFiles, Part, Parts
from resatlas.data.fitting import left_out
from resatlas.designs import catalog as designs
from resatlas.designs.catalog import Entry
from resatlas.errors import DataError, FolderError, ResatlasError, quoted
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.schedule import turns
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What the training does otherwise than its recipe says."""
        return tuple(departures(self.experiment.recipe, self.data, self.plan))


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
    if experiment.recipe.initial:
        plan = replace(plan, initial=experiment.recipe.initial)
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
    prepared: Prepared,
    *,
    watcher: "Watcher",
    resume: str | None = None,
    save_every: float = SAVE_EVERY,
    workers: int = 1,
) -> dict[str, Any]:
    """Train a prepared experiment to its end and test it once; its results, also those of a run finished before.

    `workers` processes prepare photographs; their number changes no result.

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
        check_weights(prepared)
        known = {"classes": list(data.classes), "note": data.note, "departures": list(prepared.notes)}
        run = begin(prepared.folder, experiment, prepared.plan, **known)
        for note in prepared.notes:
            watcher.on_note(note)
    with run.locked():
        return _train_and_conclude(
            run, prepared, watcher=watcher, resume=resume, save_every=save_every, workers=workers
        )


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
    check_classes(run, data)
    parts = data.read()
    from resatlas.evaluation.classification import answers, classification, predictions
    from resatlas.evaluation.predictions import write_predictions
    from resatlas.training.session import material, normaliser_of, trained

    images = material(parts, experiment, data, normaliser=normaliser_of(run))
    given = answers(trained(run, experiment), images.test, images.pipeline)
    found = dict(classification(given))
    if found["error_percent"] == run.results["test"]["error_percent"]:  # else the file goes on telling of the results
        write_predictions(run.folder / "predictions.csv", predictions(given), data.classes, names_in(images.test))
    return found


def check_weights(prepared: Prepared) -> None:
    """Refuse weights that are not the network's before there is a run of them.

    Raises: CheckpointError as `take_weights`.
    """
    if prepared.experiment.weights:
        from resatlas.nets.network import build
        from resatlas.training.session import take_weights

        take_weights(build(prepared.plan), prepared.experiment.weights)


def check_classes(run: Run, data: DataSet) -> None:
    """Refuse images of other classes than those that a run was trained on.

    Raises: DataError with the first that differs.
    """
    for k, (known, found) in enumerate(zip_longest(run.classes, data.classes)):
        if known != found:
            raise DataError(
                f"class {k} of {data.name} is {quoted(found or 'missing')}, but {run.folder} learnt "
                f"{quoted(known or 'no such class')}; test it on images of the same classes in the same order"
            )


def departures(recipe: Recipe, data: DataSet, plan: Plan) -> Iterator[str]:
    """A sentence for everything that a training does otherwise than the recipe of that name says."""
    named = recipes.NAMED.get(recipe.name)
    if named and (named.epochs, named.iterations) != (recipe.epochs, recipe.iterations):
        drops = [f"{float(turn * recipe.epochs):g}" for turn in turns(recipe.schedule) if turn]
        scaled = f", its learning rate turning after {', '.join(drops)} of them" if drops else ""
        yield f"{recipe.epochs} epochs in place of the {named.epochs} of {recipe.name}{scaled}"
    yield from left_out(recipe.steps, data)
    rates = {layer.op.rate for _, layer in layers(plan) if isinstance(layer.op, Dropout)} or {0.0}
    strange = [rate for rate in rates if rate not in recipe.dropouts]
    if strange:
        usual = " or ".join(f"{rate:g}" for rate in recipe.dropouts)
        yield f"the network drops out at a rate of {strange[0]:g}; {recipe.name} goes with {usual}"


def _train_and_conclude(
    run: Run, prepared: Prepared, *, watcher: "Watcher", resume: str | None, save_every: float, workers: int
) -> dict[str, Any]:
    """What `carry_out` does with a run that it has for itself."""
    from resatlas.evaluation.classification import answers, classification
    from resatlas.training import checkpoint
    from resatlas.training.session import material, normaliser_of, train

    experiment = prepared.experiment
    found: Path | None = None
    if resume == "auto":
        found, rejected = checkpoint.newest_valid(run.checkpoints)
        for each in rejected:
            watcher.on_note(f"checkpoint {each.name} {each.reason}")
        watcher.on_note(f"resumes from {found.name}" if found else "no valid checkpoint: starts from the beginning")
    elif resume:
        found = Path(resume)
    images = material(prepared.parts, experiment, prepared.data, normaliser=normaliser_of(run), workers=workers)
    state = train(
        run,
        experiment,
        images=images,
        resume=found,
        save_every=save_every,
        evaluate=lambda network, part, pipeline: classification(answers(network, part, pipeline)),
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
        "epochs": last["epoch"],
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
        held_back = answers(network, images.validation, images.pipeline)
        results["validation"] = dict(classification(held_back))
    tested = answers(network, images.test, images.pipeline)
    results["test"] = finite(dict(classification(tested)), of="on the test images")
    names = names_in(images.test)
    write_predictions(run.folder / "predictions.csv", predictions(tested), prepared.data.classes, names)
    write_json(run.folder / "results.json", results)
    run.set_status("finished", epoch=last["epoch"])
    return results


def names_in(part: Part) -> tuple[str, ...]:
    """The names of a part's images by their ids, where they have names."""
    return part.files if isinstance(part, ImageFiles) else ()
