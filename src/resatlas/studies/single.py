"""One experiment from start to end: check, training, one test, results."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

from resatlas.arch.plan import Plan
from resatlas.data.annotated import resolve_any
from resatlas.data.boxes import AnnotatedParts, DetectionData
from resatlas.data.dataset import DataSet, Parts
from resatlas.data.identity import parts_in_files
from resatlas.designs.catalog import Entry
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.environment import leading, local_processes, restarts
from resatlas.runs.experiment import Experiment, default_folder
from resatlas.runs.files import remove
from resatlas.runs.record import Keep
from resatlas.runs.seal import SEAL
from resatlas.runs.store import Run
from resatlas.studies.checks import check_folder, check_held_back, check_still_own
from resatlas.studies.demand import setting_of, shortages
from resatlas.studies.departures import departures
from resatlas.studies.entering import open_run
from resatlas.studies.own_images import recorded_failures
from resatlas.studies.tasks import check_task, check_trained, classes_of, masks_for, plan_for
from resatlas.training.execution import Execution, determinism, device_of
from resatlas.training.skipping import CAP
from resatlas.training.threads import computing, threads_of
from resatlas.values.room import resident_memory

if TYPE_CHECKING:  # checking an experiment needs no torch
    from resatlas.evaluation.portions import Portion
    from resatlas.training.distributed import World
    from resatlas.training.rows import Measures
    from resatlas.training.session import Watcher
    from resatlas.training.splits import AnnotatedSplits, Splits
    from resatlas.training.state import TrainState


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A checked experiment: its design, data and images exist, and its folder can be used."""

    experiment: Experiment
    execution: Execution
    entry: Entry
    plan: Plan
    data: DataSet | DetectionData
    parts: Parts | AnnotatedParts
    folder: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """What a run calls its classes, in the order of the outputs: with the ground, if every pixel has one."""
        return classes_of(self.experiment.recipe.task, self.data)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how the training differs from its recipe."""
        skipping = (
            [f"steps with NaN or infinite values are skipped, {CAP}"] if self.experiment.nonfinite == "skip" else []
        )
        return (*departures(self.experiment.recipe, self.data, self.plan), *skipping, *self.parts.notes)


@overload
def read_parts(data: DataSet) -> Parts: ...
@overload
def read_parts(data: DetectionData) -> AnnotatedParts: ...
def read_parts(data: DataSet | DetectionData) -> Parts | AnnotatedParts:
    """The images of a data set."""
    return data.read()


def prepare(
    experiment: Experiment,
    *,
    out: Path,
    execution: Execution = Execution(),
    read: Callable[[DataSet | DetectionData], Parts | AnnotatedParts] = read_parts,
) -> Prepared:
    """Check design, data and folder, in that order and without torch, then read the images.

    Images with objects are read first, since their sizes are those of the plan. Processes that a
    launcher has restarted resume from the last checkpoint.

    Raises: UnknownName, DesignError, BlueprintError, DataError, FolderError; UsageError if the best epoch is kept of a
        training without validation images.
    """
    entry = experiment.entry
    data = resolve_any(experiment.data, masks=masks_for(experiment.recipe.task))
    check_task(experiment, data)
    check_trained(experiment)
    if isinstance(data, DataSet):
        data.check_learnable()
    parts = None if isinstance(data, DataSet) else read(data)
    plan = plan_for(experiment, data, parts)
    if restarts():
        execution = replace(execution, resume="auto")
    if leading():
        check_folder(out, experiment, plan, resume=execution.resume, keep=execution.keep)
    parts = parts or read(data)
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

    with ExitStack() as lock, joined(rank_timeout=prepared.execution.rank_timeout, on_note=watcher.on_note) as world:
        run = world.lead(lambda: open_run(prepared, watcher, lock))
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


class Course(Protocol):
    """What a task does beside the loop: the images it learns from, and the measures of what is learnt."""

    @property
    def images(self) -> "Splits | AnnotatedSplits":
        """The images, split."""
        ...

    def measures(self, state: "TrainState") -> "Measures":
        """The measures on the images held back for validation."""
        ...

    def conclude(self, state: "TrainState") -> dict[str, Any]:
        """Test what is learnt, write the results and seal the run, by all processes; the results.

        Raises: NonFiniteError if a measure is not finite.
        """
        ...


def _train_and_conclude(run: Run, prepared: Prepared, watcher: "Watcher") -> dict[str, Any]:
    """Train a run, whose lock the leading process holds, and test it."""
    from resatlas.evaluation.portions import Portion, images_at_once
    from resatlas.training.distributed import current
    from resatlas.training.logs import log_results, logs_here
    from resatlas.training.session import failure_written, train

    beginning, world, execution = run.beginning(), current(), prepared.execution
    experiment = as_carried_out(beginning)
    threads = threads_of(
        run.folder, beginning.plan, images=_images_per_pass(experiment, world, execution), on_note=watcher.on_note
    )
    promise = determinism(wanted=execution.deterministic, on_note=watcher.on_note)
    photographs = bool(parts_in_files(prepared.parts))
    at_once = execution.test_batch or images_at_once(
        beginning.plan, experiment.recipe, photographs=photographs, processes=world.size
    )
    portion = Portion(size=at_once, note=watcher.on_note)
    with computing(threads), promise, recorded_failures(run.folder, prepared.parts):
        world.lead(lambda: check_still_own(run, prepared.experiment, prepared.plan))
        with failure_written(run, world, lambda: len(run.metrics)):
            if world.leads:  # a seal is left if the user removed results.json to repeat the test
                remove(run.folder / SEAL, within=run.folder)
            checkpoint = world.lead(lambda: _checkpoint(run, execution.resume, watcher))
            if world.leads:
                for line in _shortages(prepared, experiment, world):
                    watcher.on_note(line)
            course = _course(run, prepared, world, portion, watcher)
        state = train(
            run,
            experiment,
            images=course.images,
            resume=checkpoint,
            evaluate=course.measures,
            watcher=watcher,
            execution=replace(execution, test_batch=at_once),
        )
        with failure_written(run, world, lambda: state.epoch):
            results = course.conclude(state)
        if world.leads:
            log_results(run, results, logs_here(execution.logs), watcher.on_note)
        return results


def _course(run: Run, prepared: Prepared, world: "World", portion: "Portion", watcher: "Watcher") -> Course:
    """What is learnt of the images of a prepared experiment."""
    match prepared.data, prepared.parts:
        case DataSet() as data, Parts() as parts:
            from resatlas.studies.labelling import labelling

            return labelling(run, prepared, data, parts, world=world, portion=portion, on_note=watcher.on_note)
        case DetectionData() as data, AnnotatedParts() as parts:
            from resatlas.studies.finding import finding

            return finding(run, prepared, data, parts, world=world, portion=portion)
        case _:
            raise TypeError(f"{prepared.data.name} does not have the images {type(prepared.parts).__name__}")


def _shortages(prepared: Prepared, experiment: Experiment, world: "World") -> Iterator[str]:
    """A sentence for what a training lacks on this machine, of memory or disk, as `preflight` says it."""
    execution = prepared.execution
    setting = setting_of(
        prepared.plan,
        experiment.recipe,
        prepared.data,
        prepared.parts,
        precision=experiment.precision or "fp32",
        where="cpu" if device_of(execution.device).type == "cpu" else "cuda",
        processes=world.size,
        machines=max(world.size // local_processes(), 1),
        kept=execution.kept,
        workers=execution.workers,
        keep=execution.keep or "last",
    )
    for shortage in shortages(setting, prepared.folder, taken=resident_memory()):
        yield shortage.words


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
