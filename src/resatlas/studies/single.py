"""One experiment from start to end: check, training, one test, results."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.arch.plan import Plan
from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageFiles, Part, Parts
from resatlas.designs.catalog import Entry
from resatlas.errors import CheckpointError
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.decoding import read_rows
from resatlas.runs.environment import leading, restarts
from resatlas.runs.experiment import Experiment, default_folder
from resatlas.runs.files import remove, write_json
from resatlas.runs.names import METRICS, PREDICTIONS, RESULTS, TIMING
from resatlas.runs.record import EpochRow, Keep, TimingRow, best_of
from resatlas.runs.seal import SEAL
from resatlas.runs.store import Run
from resatlas.studies.checks import check_folder, check_held_back, check_still_own
from resatlas.studies.counting import count_departures
from resatlas.studies.departures import departures
from resatlas.studies.entering import finish, open_run
from resatlas.studies.own_images import recorded_failures
from resatlas.training.execution import Execution, determinism, device_of
from resatlas.training.skipping import CAP
from resatlas.training.threads import computing, threads_of
from resatlas.values.codec import encode

if TYPE_CHECKING:  # checking an experiment needs no torch
    from resatlas.data.pipeline import Pipeline
    from resatlas.evaluation.logits import Predictions
    from resatlas.evaluation.portions import Portion
    from resatlas.nets.network import Network
    from resatlas.training.distributed import World
    from resatlas.training.session import Watcher
    from resatlas.training.splits import Splits


_MOST_LEARNT = 10_000
"""Training images on which a finished network is evaluated, evenly spaced among all."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A checked experiment: its design, data and images exist, and its folder can be used."""

    experiment: Experiment
    execution: Execution
    entry: Entry
    plan: Plan
    data: DataSet
    parts: Parts
    folder: Path

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how the training differs from its recipe."""
        skipping = (
            [f"steps with NaN or infinite values are skipped, {CAP}"] if self.experiment.nonfinite == "skip" else []
        )
        return (*departures(self.experiment.recipe, self.data, self.plan), *skipping, *self.parts.notes)


def read_parts(data: DataSet) -> Parts:
    """The images of a data set."""
    return data.read()


def prepare(
    experiment: Experiment,
    *,
    out: Path,
    execution: Execution = Execution(),
    read: Callable[[DataSet], Parts] = read_parts,
) -> Prepared:
    """Check design, data and folder, in that order and without torch, then read the images.

    Processes that a launcher has restarted resume from the last checkpoint.

    Raises: UnknownName, DesignError, BlueprintError, DataError, FolderError; UsageError if the best epoch is kept of a
        training without validation images.
    """
    entry = experiment.entry
    data = datasets.resolve(experiment.data)
    data.check_learnable()
    plan = entry.plan(image=data.image, classes=len(data.classes))
    if experiment.recipe.initial:
        plan = replace(plan, initial=experiment.recipe.initial)
    if restarts():
        execution = replace(execution, resume="auto")
    if leading():
        check_folder(out, experiment, plan, resume=execution.resume, keep=execution.keep)
    parts = read(data)
    if execution.keep == "best,last":
        check_held_back(data, parts, experiment.recipe)
    return Prepared(
        experiment=experiment, execution=execution, entry=entry, plan=plan, data=data, parts=parts, folder=out
    )


def carry_out(prepared: Prepared, *, watcher: "Watcher") -> dict[str, Any]:
    """Train a prepared experiment to its end, test it once and return the results; a finished run is not repeated.

    Raises: Stopped, NonFiniteError, CheckpointError.
    """
    from resatlas.training.distributed import joined

    with joined(rank_timeout=prepared.execution.rank_timeout, on_note=watcher.on_note) as world:
        run = world.lead(lambda: open_run(prepared, watcher))
        return dict(run.record().written) if run.finished else _train_and_conclude(run, prepared, watcher)


def train(
    experiment: Experiment, out: str | Path | None = None, *, resume: str | None = None, keep: Keep | None = None
) -> dict[str, Any]:
    """Train an experiment, test it once and return the results, as in results.json of its folder.

    `out` is runs/<data>-<design>-<recipe>-s<seed> by default; `resume` is "auto" or the path of a checkpoint;
    `keep` is "last", the default, or "best,last", which also keeps the epoch of least validation error.
    Raises: UsageError, DataError, Stopped, NonFiniteError, CheckpointError.
    """
    from resatlas.training.session import UNWATCHED

    folder = default_folder(experiment) if out is None else Path(out)
    execution = Execution(resume=resume, keep=keep)
    return carry_out(prepare(experiment, out=folder, execution=execution), watcher=UNWATCHED)


def _train_and_conclude(run: Run, prepared: Prepared, watcher: "Watcher") -> dict[str, Any]:
    """Train a run under its lock, and test it."""
    from resatlas.evaluation.classification import classification
    from resatlas.evaluation.portions import Portion, images_at_once
    from resatlas.training.distributed import current
    from resatlas.training.logs import log_results, logs_here
    from resatlas.training.session import failure_written, train
    from resatlas.training.splits import normaliser_of, split_images

    beginning, world, execution = run.beginning(), current(), prepared.execution
    experiment = as_carried_out(beginning)
    threads = threads_of(
        run.folder, beginning.plan, images=_images_per_pass(experiment, world, execution), on_note=watcher.on_note
    )
    promise = determinism(wanted=execution.deterministic, on_note=watcher.on_note)
    photographs = isinstance(prepared.parts.test, ImageFiles)
    at_once = execution.test_batch or images_at_once(
        beginning.plan, experiment.recipe, photographs=photographs, processes=world.size
    )
    portion = Portion(size=at_once, note=watcher.on_note)
    with (
        run.locked() if world.leads else nullcontext(),
        computing(threads),
        promise,
        recorded_failures(run.folder, prepared.parts),
    ):
        world.lead(lambda: check_still_own(run, prepared.experiment, prepared.plan))
        with failure_written(run, world, lambda: len(run.metrics)):
            if world.leads:  # a seal is left if the user removed results.json to repeat the test
                remove(run.folder / SEAL, within=run.folder)
            checkpoint = world.lead(lambda: _checkpoint(run, execution.resume, watcher))
            images = split_images(
                prepared.parts,
                experiment,
                prepared.data,
                normaliser=normaliser_of(run),
                workers=execution.workers,
                on_note=watcher.on_note,
            )

        def predict(network: "Network", part: Part, pipeline: "Pipeline" = images.pipeline) -> "Predictions":
            return _predictions(network, part, pipeline, world, portion)

        state = train(
            run,
            experiment,
            images=images,
            resume=checkpoint,
            evaluate=lambda network, part, _: classification(predict(network, part)),
            watcher=watcher,
            execution=replace(execution, test_batch=at_once),
        )
        with failure_written(run, world, lambda: state.epoch):
            skipping = replace(images.pipeline, unreadable="skip")  # training images may not have been decoded before
            learnt = predict(state.tested, _evenly(images.train, _MOST_LEARNT), skipping)
            held_back = predict(state.tested, images.validation) if images.validation else None
            tested = predict(state.tested, images.test)
            results = world.lead(lambda: _conclude(run, prepared, images, learnt, held_back, tested))
        if world.leads:
            log_results(run, results, logs_here(execution.logs), watcher.on_note)
        return results


def _images_per_pass(experiment: Experiment, world: "World", execution: Execution) -> int | None:
    """The images of a forward pass in each process; None on a GPU."""
    share = max(experiment.recipe.batch // world.size, 1)
    on_cpu = device_of(execution.device).type == "cpu"
    return min(experiment.recipe.norm_group or share, share) if on_cpu else None


def _checkpoint(run: Run, resume: str | None, watcher: "Watcher") -> Path | None:
    """The checkpoint to resume from: the given one, or for "auto" the newest that is valid."""
    from resatlas.training.checkpoint import newest_valid

    if resume != "auto":
        return Path(resume) if resume else None
    newest, rejected = newest_valid(run.checkpoints)
    for checkpoint in rejected:
        watcher.on_note(f"checkpoint {checkpoint.name} {checkpoint.reason}")
    watcher.on_note(f"resumes from {newest.name}" if newest else "no valid checkpoint: starts from the beginning")
    return newest


def _predictions(
    network: "Network", part: Part, pipeline: "Pipeline", world: "World", portion: "Portion"
) -> "Predictions":
    """The predictions of a part; the images are split among the processes."""
    from resatlas.evaluation.logits import predict, predict_together

    return predict_together(part, world, lambda own: predict(network, own, pipeline, portion=portion))


def _evenly(part: Part, most: int) -> Part:
    """At most this many images of a part, evenly spaced."""
    return part.take(slice(None, None, -(-len(part) // most)))


def _conclude(
    run: Run,
    prepared: Prepared,
    images: "Splits",
    learnt: "Predictions",
    held_back: "Predictions | None",
    tested: "Predictions",
) -> dict[str, Any]:
    """Write the results and the predictions, seal the run, and return the results.

    Raises: NonFiniteError if a measure is not finite.
    """
    from resatlas.evaluation.classification import classification, prediction_rows
    from resatlas.evaluation.predictions import write_predictions
    from resatlas.training.loop import finite

    results = _trained(run, prepared, images)
    results["train_evaluated"] = finite(dict(classification(learnt)), of="on the training images")
    if held_back:
        results["validation"] = dict(classification(held_back))
    results["test"] = finite(dict(classification(tested)), of="on the test images")
    results["departures"] = encode(count_departures(run, images, held_back=held_back, tested=tested))
    names = _names_in(images.test)
    write_predictions(run.folder / PREDICTIONS, prediction_rows(tested), prepared.data.classes, names)
    write_json(run.folder / RESULTS, results, within=run.folder)
    finish(run)
    return results


def _trained(run: Run, prepared: Prepared, images: "Splits") -> dict[str, Any]:
    """The entries of results.json about the training, without its tests."""
    beginning, total, lengths = run.beginning(), cost(prepared.plan), mean_lengths(prepared.plan)
    experiment = beginning.experiment
    metrics, timing = read_rows(run.folder / METRICS, EpochRow), read_rows(run.folder / TIMING, TimingRow)
    if not metrics or len(metrics) != len(timing):
        raise CheckpointError(
            f"{run.folder} has {len(metrics)} rows in {METRICS} and {len(timing)} in {TIMING}: the files were changed "
            "during the training"
        )
    last, seconds = metrics[-1], sum(row.seconds for row in timing)
    best = best_of(metrics) if beginning.keep == "best,last" else None
    return {
        "design": experiment.design,
        "family": prepared.entry.family,
        "depth": lengths.longest if prepared.entry.depth is None else prepared.entry.depth,
        "data": experiment.data,
        "recipe": experiment.recipe.name,
        "seed": experiment.seed,
        **({"weights": "average"} if experiment.recipe.average else {}),
        "epochs": last.epoch,
        **({"best": encode(best)} if best else {}),
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
        "mean_path_length": float(lengths.mean),
        "seconds": seconds,
        "images_per_second": sum(row.images for row in timing) / max(seconds, 1e-9),
        "train": {
            "loss": last.train_loss,
            "error_percent": last.train_error_percent,
            "images": len(images.train),
            **({} if last.skipped_steps is None else {"skipped_steps": last.skipped_steps}),
        },
    }


def _names_in(part: Part) -> tuple[str, ...]:
    """The file names of a part's images, in the order of their ids; empty for images without files."""
    return part.files if isinstance(part, ImageFiles) else ()
