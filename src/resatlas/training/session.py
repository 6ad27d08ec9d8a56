"""One experiment trained in one folder: begun or resumed, saved on the way, ended by its end or by a signal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resatlas.data.batches import Normalisation, measure, normalise
from resatlas.data.dataset import DataSet, ImageSet, Parts, hold_back
from resatlas.errors import CheckpointError, Stopped
from resatlas.nets.network import Network, build
from resatlas.runs.experiment import Experiment, digest
from resatlas.runs.store import Run
from resatlas.training import checkpoint
from resatlas.training.loop import Course, finite, fit, require_finite
from resatlas.training.optimizer import optimizer
from resatlas.training.signals import stop_on_signal
from resatlas.training.state import Tally, TrainState

GO_ON = "the same command with --resume auto goes on"

Measures = Iterator[tuple[str, float]]
Evaluate = Callable[[Network, ImageSet, Normalisation], Measures]


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """What is called while a training advances; by default nothing happens."""

    on_start: Callable[[Run, Course, TrainState], None] = lambda *_: None
    on_step: Callable[[TrainState], None] = lambda *_: None
    on_epoch: Callable[[dict[str, Any], dict[str, Any]], None] = lambda *_: None
    on_note: Callable[[str], None] = lambda *_: None


UNWATCHED = Watcher()


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """The images of an experiment, split and measured."""

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet
    normalisation: Normalisation


def material(parts: Parts, experiment: Experiment) -> Material:
    """The parts of a data set as a recipe splits them; mean and deviation are those of the training part."""
    train, validation = hold_back(parts.train, experiment.recipe.validation)
    return Material(train=train, validation=validation, test=parts.test, normalisation=measure(train))


def train(
    run: Run,
    experiment: Experiment,
    *,
    data: DataSet,
    images: Material,
    resume: Path | None,
    save_every: float,
    evaluate: Evaluate,
    watcher: Watcher,
) -> TrainState:
    """Train to the end, from the start or from a checkpoint.

    Raises: Stopped after a signal, with a checkpoint of the last step; NonFiniteError; CheckpointError.
    """
    identity = digest(experiment)
    state = start(run, experiment)
    checkpoint.sweep(run.checkpoints)
    if resume:
        checkpoint.load(state, resume, experiment=identity)
    run.cut_back(state.epoch)
    course = _course(experiment, data, images)
    saved = time.monotonic()
    with _status_told(run, state), stop_on_signal() as request:

        def on_step(state: TrainState) -> None:
            watcher.on_step(state)
            if request.signal:
                require_finite(state)
                checkpoint.save(state, run.checkpoints, experiment=identity)
                raise Stopped(f"by {request.signal.name} after step {state.step:,} of {course.steps:,}, saved; {GO_ON}")

        def on_epoch(state: TrainState, tally: Tally, seconds: float) -> None:
            nonlocal saved
            require_finite(state)
            metrics = _metrics(state, tally, course, images, evaluate)
            timing = _timing(state, tally, seconds)
            run.record_epoch(metrics, timing)
            watcher.on_epoch(metrics, timing)
            if state.epoch == experiment.recipe.epochs or time.monotonic() - saved >= save_every:
                checkpoint.save(state, run.checkpoints, experiment=identity)
                saved = time.monotonic()
                run.set_status("running", epoch=state.epoch)

        watcher.on_start(run, course, state)
        fit(state, course, on_step=on_step, on_epoch=on_epoch)
        if request.signal:
            raise Stopped(f"by {request.signal.name} after the last step, saved; {GO_ON}")
    return state


def start(run: Run, experiment: Experiment) -> TrainState:
    """The state before the first step."""
    network = build(run.plan, seed=experiment.seed).to(memory_format=memory_format(experiment))
    return TrainState(network=network, optimizer=optimizer(network, experiment.recipe))


def memory_format(experiment: Experiment) -> torch.memory_format:
    """The layout of the experiment as torch names it."""
    return torch.channels_last if experiment.layout == "channels-last" else torch.contiguous_format


def trained(run: Run, experiment: Experiment) -> Network:
    """The network of a finished run's newest checkpoint.

    Raises: CheckpointError if there is none, or if it is not valid: no older one stands in for it.
    """
    found, rejected = checkpoint.newest_valid(run.checkpoints)
    if found is None or rejected:
        reasons = "; ".join(f"{each.name} {each.reason}" for each in rejected)
        raise CheckpointError(f"{run.folder} has no valid checkpoint{' of its end: ' + reasons if reasons else ''}")
    state = start(run, experiment)
    checkpoint.load(state, found, experiment=digest(experiment))
    if state.epoch < experiment.recipe.epochs:
        raise CheckpointError(f"{run.folder} has no checkpoint of its end; {found.name} is older")
    return state.network


def _course(experiment: Experiment, data: DataSet, images: Material) -> Course:
    return Course(
        recipe=experiment.recipe,
        seed=experiment.seed,
        images=normalise(images.train, images.normalisation),
        mirror=data.mirror,
        layout=memory_format(experiment),
    )


@contextmanager
def _status_told(run: Run, state: TrainState) -> Iterator[None]:
    """Keep status.json true: running, then how it ended if not by its end."""
    run.set_status("running", epoch=state.epoch)
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            stopped = isinstance(error, Stopped | KeyboardInterrupt)
            run.set_status("stopped" if stopped else "failed", epoch=state.epoch, reason=str(error))
        raise


def _timing(state: TrainState, tally: Tally, seconds: float) -> dict[str, Any]:
    """The row of a finished epoch that tells its time."""
    return {
        "epoch": state.epoch,
        "images": tally.images,
        "seconds": seconds,
        "images_per_second": tally.images / max(seconds, 1e-9),
    }


def _metrics(state: TrainState, tally: Tally, course: Course, images: Material, evaluate: Evaluate) -> dict[str, Any]:
    """The row of a finished epoch; rates and losses of training are means over the epoch, as it went."""
    metrics = {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": course.rate(state.step - 1),
        "train_loss": tally.mean_loss,
        "train_error_percent": tally.error_percent,
    }
    if images.validation:
        found = evaluate(state.network, images.validation, images.normalisation)
        metrics.update({f"validation_{name}": value for name, value in found if name != "images"})
    return finite(metrics, of=f"after step {state.step:,}")
