"""One training of an experiment in its folder: started or resumed, saved, finished or stopped by a signal."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Literal

import torch

from resatlas.data.dataset import ImageFiles
from resatlas.data.normalisation import normaliser_bytes
from resatlas.errors import FolderError, NonFiniteError, ResatlasError, Stopped
from resatlas.runs.decoding import read_starts
from resatlas.runs.environment import processor
from resatlas.runs.experiment import Experiment
from resatlas.runs.files import sha256_of, write_bytes, write_json
from resatlas.runs.names import NORMALISATION
from resatlas.runs.record import Beginning, Best, Keep
from resatlas.runs.store import Run
from resatlas.training import checkpoint
from resatlas.training.checkpoint import Saved
from resatlas.training.compiling import compiling, uncompiled
from resatlas.training.detecting import check_start
from resatlas.training.distributed import World, current, losses_explained, stopping_on
from resatlas.training.execution import Execution, Log, device_of
from resatlas.training.logs import Write, logging, logs_here
from resatlas.training.loop import TrainingPlan, fit, require_finite
from resatlas.training.memory import memory_kept
from resatlas.training.planning import plan_training
from resatlas.training.profiling import profiling
from resatlas.training.rows import Evaluate, metrics_of, skipped_updates, timing_of
from resatlas.training.signals import StopRequest, stop_on_signal
from resatlas.training.skipping import require_few
from resatlas.training.splits import AnnotatedSplits, Splits
from resatlas.training.starting import first_state, take_weights
from resatlas.training.state import Tally, TrainState
from resatlas.values.unforeseen import foreseen

_CHECK_SECONDS = 1.0
"""Seconds between two checks of the lock during an epoch."""

_CONTINUE = "run the same command with --resume auto to continue"

_NONFINITE = "nonfinite.json"
"""The file of a run that describes the step at which a loss or gradient was not finite."""


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Callbacks of a training; by default they do nothing."""

    on_start: Callable[[Run, TrainingPlan, TrainState], None] = lambda *_: None
    on_step: Callable[[TrainState], None] = lambda *_: None
    on_epoch: Callable[[dict[str, Any], dict[str, Any]], None] = lambda *_: None
    on_note: Callable[[str], None] = lambda *_: None
    on_image: Callable[[str, int, int], None] = lambda *_: None
    """Called before the first step: which images are verified, how many have been, and of how many."""
    on_wait: Callable[[], None] = lambda: None
    """Called while the run's lock is held by a process that may be gone; may raise an error to give up."""


UNWATCHED = Watcher()


@dataclass(kw_only=True)
class Session:
    """One training of a run: the callbacks of the loop after steps and epochs, and the saving of the state."""

    run: Run
    experiment: Experiment
    execution: Execution
    images: Splits | AnnotatedSplits
    training: TrainingPlan
    state: TrainState
    evaluate: Evaluate
    watcher: Watcher
    sealed: str
    """The sha256 of the file with the normalisation of images, which each checkpoint repeats."""
    log: Write
    request: StopRequest
    keep: Keep
    traced: Callable[[], None]
    saved: float = field(default_factory=lambda: time.monotonic())
    checked: float = -inf
    """When the lock was last checked."""
    pauses: float = 0.0
    """Seconds for which this process was paused, as far as they are counted."""

    def save(self) -> None:
        """Write a checkpoint of the state.

        Raises: NonFiniteError, CheckpointError.
        """
        state, world = self.state, self.training.world
        require_finite(state)
        world.lead(
            lambda: checkpoint.save(
                state,
                self.run.checkpoints,
                experiment=self.run.beginning().digest,
                world_size=world.size,
                normalisation=self.sealed,
                rows=self.run.rows(state.epoch),
                photographs=_in_files(self.images),
                best=best.checkpoint if (best := self.kept_best()) else None,
            )
        )
        self.saved = time.monotonic()

    def kept_best(self) -> Best | None:
        """The best epoch so far, if its checkpoint is kept, as the rows of the run have it."""
        return self.run.best() if self.keep == "best,last" else None

    def after_step(self, state: TrainState) -> None:
        """Save and stop after a signal; save if the last checkpoint is older than `save_every`.

        Raises: Stopped; FolderError if another process has taken over the run
        """
        self.traced()
        self.watcher.on_step(state)
        pauses, self.pauses = self.pauses, self.run.paused()
        state.paused += self.pauses - pauses
        request = self.training.world.agreed(self.request.signal or self._wish(state))
        if not request:
            return
        begun = time.perf_counter()
        self.save()
        state.seconds -= time.perf_counter() - begun  # the time of a save is not that of the epoch
        if request != "save":
            raise Stopped(f"by {request.name} after step {state.step:,} of {self.training.steps:,}, saved; {_CONTINUE}")

    def _wish(self, state: TrainState) -> Literal["save"] | None:
        """Whether a checkpoint is due inside an epoch; also if the lock is lost, which a save reports in all ranks."""
        if not self.training.world.leads:
            return None
        now, every = time.monotonic(), self.execution.save_every
        if now - self.checked >= _CHECK_SECONDS:
            self.checked = now
            try:
                self.run.check_held()
            except FolderError:
                return "save"
        inside = state.batch < self.training.steps_per_epoch and state.step < self.training.steps
        return "save" if inside and 0 < every <= now - self.saved else None

    def measure(self, state: TrainState, tally: Tally, seconds: float) -> float | None:
        """Write the rows of a finished epoch, and return the error of the held-out images, if there are any."""
        require_finite(state)
        with uncompiled(self.experiment.compiled):
            metrics, timing = metrics_of(state, tally, self.images, self.evaluate), timing_of(state, tally, seconds)
        metrics |= skipped_updates(state, self.experiment)
        if self.experiment.unreadable == "skip" and isinstance(self.images.train, ImageFiles):
            metrics["substituted_images"] = tally.substituted
        if state.paused:
            timing["paused_seconds"] = state.paused
        state.paused, self.pauses = 0.0, self.run.paused()
        if self.training.world.leads:
            self.run.record_epoch(metrics, timing)
            self.log({**timing, **metrics})
        self.watcher.on_epoch(metrics, timing)
        return metrics.get("validation_error_percent")

    def after_epoch(self, state: TrainState) -> None:
        """Save after the last step, after the best epoch, and if the last checkpoint is older than `save_every`."""
        world, every = self.training.world, self.execution.save_every
        best = world.lead(self.kept_best)
        due = state.step == self.training.steps or (best is not None and best.epoch == state.epoch)
        if due or world.lead(lambda: time.monotonic() - self.saved >= every):
            self.save()
            if world.leads:
                self.run.set_status("running", epoch=state.epoch)

    def skip(self, error: NonFiniteError) -> None:
        """Record a skipped step.

        Raises: NonFiniteError after too many.
        """
        require_few(self.state, error, steps=self.training.steps)
        if self.training.world.leads:
            _write_evidence(self.run, error)
        self.watcher.on_note(f"step {self.state.step:,} is skipped, {self.state.skipped:,} so far: {error}")


def train(
    run: Run,
    experiment: Experiment,
    *,
    images: Splits | AnnotatedSplits,
    resume: Path | None,
    evaluate: Evaluate,
    watcher: Watcher,
    execution: Execution,
) -> TrainState:
    """Train to the end, from the start or from a checkpoint.

    Raises: Stopped after a signal, with a checkpoint of the last step; NonFiniteError; CheckpointError.
    """
    world, begun = current(), run.beginning()
    sealed = world.lead(lambda: _sealed(run, images))
    state = first_state(begun.plan, experiment, device_of(execution.device), classes=len(begun.classes))
    state.network.kept = execution.kept
    for note in _start_or_resume(state, resume, run, begun, images, sealed):
        watcher.on_note(note)
    training = plan_training(experiment, images, world, state)
    logs = logs_here(execution.logs) if world.leads else ()
    _prepare_folder(run, state, training, _execution_record(training, execution, logs))
    with (
        _status_kept(run, state, world),
        stop_on_signal() as request,
        stopping_on(request, lambda status, reason: run.set_status(status, epoch=state.epoch, reason=reason)),
        logging(run, logs, watcher.on_note) as log,
        compiling(state.network, experiment.compiled),
        memory_kept() if execution.kept == "all" else nullcontext(),
        profiling(run, execution.profile if world.leads else None, watcher.on_note) as traced,
    ):
        session = Session(
            run=run,
            experiment=experiment,
            execution=execution,
            images=images,
            training=training,
            state=state,
            evaluate=evaluate,
            watcher=watcher,
            sealed=sealed,
            log=log,
            request=request,
            keep=begun.keep,
            traced=traced,
        )
        if world.leads and (lost := checkpoint.lost(run.checkpoints, session.kept_best())):
            watcher.on_note(lost)
        watcher.on_start(run, training, state)
        fit(
            state,
            training,
            on_step=session.after_step,
            measure=session.measure,
            on_epoch=session.after_epoch,
            skip=session.skip if experiment.nonfinite == "skip" else None,
        )
        if (stopping := world.agreed(request.signal)) and stopping != "save":
            raise Stopped(f"by {stopping.name} after the last step, saved; {_CONTINUE}")
    return state


def _start_or_resume(
    state: TrainState, resume: Path | None, run: Run, begun: Beginning, images: Splits | AnnotatedSplits, sealed: str
) -> Iterator[str]:
    """Set the state to that of the checkpoint, or load initial weights; yield notes about it.

    Raises: CheckpointError, also if the rows of the run differ from those of the checkpoint.
    """
    world, experiment = current(), begun.experiment
    if resume:
        saved = checkpoint.load(state, resume, experiment=begun.digest, normalisation=sealed)
        world.lead(lambda: run.check_rows(state.epoch, saved.rows))
        if saved.world_size != world.size:
            yield (
                f"resumes with {world.size} processes, saved with {saved.world_size}: same images, results may differ "
                "in their last bits"
            )
        if saved.rows is None:
            yield f"{resume.name} is of an earlier version: changes of the rows of its epochs cannot be detected"
        yield from _other_versions(saved, checkpoint.versions(_in_files(images)))
        yield from _another_processor(run)
    elif experiment.weights:
        yield take_weights(state.network, experiment.weights, begun.plan)
    if not resume:
        check_start(state, experiment.recipe.task)
    if world.size > 1 and experiment.recipe.norm_group is None:
        yield f"each of {world.size} processes normalises by the batch statistics of its own part of a batch"


def _in_files(images: Splits | AnnotatedSplits) -> bool:
    """Whether image files are read, or what reads them computes too: detectors are made of torchvision's parts."""
    return isinstance(images, AnnotatedSplits) or isinstance(images.train, ImageFiles)


def _other_versions(saved: Saved, here: Mapping[str, str]) -> Iterator[str]:
    """A sentence if a package has another version than when the checkpoint was saved."""
    changed = [(name, before, here.get(name, "missing")) for name, before in saved.versions.items()]
    changes = [f"{name} {before} then, {now} now" for name, before, now in changed if before != now]
    if changes:
        yield f"other versions than at the last save ({'; '.join(changes)}): results may differ in their last bits"


def _another_processor(run: Run) -> Iterator[str]:
    """A sentence if the last start of the run was on another kind of processor."""
    before, here = [start.processor for start in read_starts(run.folder)], processor()
    if before and before[-1] != here:
        yield f"another processor than at the last start ({before[-1]} then, {here} now): last bits may differ"


def _write_evidence(run: Run, error: NonFiniteError) -> None:
    """Write the evidence of a step that was not finite; ignore a full disk."""
    if error.evidence:
        with suppress(OSError):
            write_json(run.folder / _NONFINITE, error.evidence, within=run.folder)


def _sealed(run: Run, images: Splits | AnnotatedSplits) -> str:
    """The sha256 of the file with the normalisation of the run, which is written if it is missing."""
    file = run.folder / NORMALISATION
    if not file.exists():
        write_bytes(file, normaliser_bytes(images.pipeline.normaliser), within=run.folder)
    return sha256_of(file)


def _prepare_folder(run: Run, state: TrainState, training: TrainingPlan, how: dict[str, Any]) -> None:
    """Remove drafts and rows after the epoch of the state, and record this start."""
    if training.world.leads:
        checkpoint.sweep(run.checkpoints)
        run.cut_back(state.epoch)
        run.record_start(how, step=state.step)


def _execution_record(training: TrainingPlan, execution: Execution, logs: Sequence[Log]) -> dict[str, Any]:
    """The execution of the training from here on, as written to env.json."""
    device = training.device
    return {
        "kept": execution.kept,
        "deterministic": execution.deterministic,
        "rank_timeout": execution.rank_timeout,
        "test_batch": execution.test_batch,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "logs": list(logs),
        "processes": training.world.size,
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _status_kept(run: Run, state: TrainState, world: World) -> Iterator[None]:
    """Keep status.json up to date: running, then stopped or failed."""
    with failure_written(run, world, lambda: state.epoch):
        if world.leads:
            run.set_status("running", epoch=state.epoch)
        try:
            yield
        except NonFiniteError as error:
            if world.leads:
                _write_evidence(run, error)
            raise


@contextmanager
def failure_written(run: Run, world: World, epoch: Callable[[], int]) -> Iterator[None]:
    """Write to status.json why the code within was stopped or failed, at any error."""
    try:
        with losses_explained():
            yield
    except BaseException as error:
        if world.leads:
            reason = foreseen(error, doing=f"training {run.name}")
            status = "stopped" if isinstance(reason, Stopped) else "failed"
            with suppress(OSError, ResatlasError):  # the folder is gone, or its rows are damaged
                run.set_status(status, epoch=epoch(), error=type(reason).__name__, reason=str(reason))
        raise
