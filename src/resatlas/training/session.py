"""One experiment trained in one folder: begun or resumed, saved on the way, ended by its end or by a signal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from resatlas.arch.ops import Norm
from resatlas.arch.plan import Plan, layers
from resatlas.data.batches import pipeline_for, source
from resatlas.data.dataset import DataSet, Part, Parts, hold_back
from resatlas.data.normalisation import Normaliser, read_normaliser, save_normaliser
from resatlas.data.pipeline import Pipeline
from resatlas.errors import CheckpointError, NonFiniteError, Stopped, UsageError
from resatlas.nets.initial_weights import start_from
from resatlas.nets.network import Network, build
from resatlas.runs.experiment import Experiment, TrainedWeights, digest, weights_in
from resatlas.runs.files import write_json
from resatlas.runs.store import Run
from resatlas.training import checkpoint
from resatlas.training.distributed import World, current, together
from resatlas.training.loop import Course, finite, fit, require_finite
from resatlas.training.optimizer import optimizer
from resatlas.training.signals import stop_on_signal
from resatlas.training.state import Tally, TrainState

GO_ON = "the same command with --resume auto goes on"

Measures = Iterator[tuple[str, float]]
Evaluate = Callable[[Network, Part, Pipeline], Measures]

NORMALISATION = "normalisation.safetensors"
"""The file of a run that says how its images are normalised, written once, before the first step."""

NONFINITE = "nonfinite.json"
"""The file of a run that tells of the step at which a loss or gradient was no number."""


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
    """The images of an experiment, split, and what happens to them."""

    train: Part
    validation: Part | None
    test: Part
    pipeline: Pipeline


def material(
    parts: Parts,
    experiment: Experiment,
    data: DataSet,
    *,
    normaliser: Normaliser | None = None,
    workers: int = 1,
) -> Material:
    """The parts of a data set as a recipe splits them; what is measured is measured on the training part alone.

    What the data set sets apart for validation comes before what the recipe holds back.
    """
    recipe = experiment.recipe
    train, validation = parts.train, parts.validation
    if validation is None:
        train, validation = hold_back(train, recipe.validation)
    pipeline = pipeline_for(
        recipe, data, train, normaliser=normaliser, unreadable=experiment.unreadable, workers=workers
    )
    return Material(train=train, validation=validation, test=parts.test, pipeline=pipeline)


def normaliser_of(run: Run) -> Normaliser | None:
    """How a run normalises its images, once it has begun to.

    Raises: CheckpointError if its file is damaged.
    """
    file = run.folder / NORMALISATION
    return read_normaliser(file) if file.exists() else None


def train(
    run: Run,
    experiment: Experiment,
    *,
    images: Material,
    resume: Path | None,
    save_every: float,
    evaluate: Evaluate,
    watcher: Watcher,
) -> TrainState:
    """Train to the end, from the start or from a checkpoint.

    Raises: Stopped after a signal, with a checkpoint of the last step; NonFiniteError; CheckpointError.
    """
    world, identity = current(), digest(experiment)
    state = start(run, experiment)
    if resume:
        checkpoint.load(state, resume, experiment=identity)
    elif experiment.weights:
        watcher.on_note(take_weights(state.network, experiment.weights))
    course = _course(experiment, images, world, state)
    if world.leads:
        _ready(run, state, images)
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        require_finite(state)
        world.lead(lambda: checkpoint.save(state, run.checkpoints, experiment=identity, world_size=world.size))
        saved = time.monotonic()

    with _status_told(run, state, world), stop_on_signal() as request:

        def on_step(state: TrainState) -> None:
            watcher.on_step(state)
            if stopping := world.agreed(request.signal):
                save()
                raise Stopped(f"by {stopping.name} after step {state.step:,} of {course.steps:,}, saved; {GO_ON}")

        def measure(state: TrainState, tally: Tally, seconds: float) -> float | None:
            require_finite(state)
            metrics, timing = _metrics(state, tally, images, evaluate), _timing(state, tally, seconds)
            if world.leads:
                run.record_epoch(metrics, timing)
            watcher.on_epoch(metrics, timing)
            return metrics.get("validation_error_percent")

        def on_epoch(state: TrainState) -> None:
            if state.step == course.steps or world.lead(lambda: time.monotonic() - saved >= save_every):
                save()
                if world.leads:
                    run.set_status("running", epoch=state.epoch)

        watcher.on_start(run, course, state)
        fit(state, course, on_step=on_step, measure=measure, on_epoch=on_epoch)
        if stopping := world.agreed(request.signal):
            raise Stopped(f"by {stopping.name} after the last step, saved; {GO_ON}")
    return state


def _ready(run: Run, state: TrainState, images: Material) -> None:
    """Leave in the folder what the state goes on from, and nothing after it."""
    if not (run.folder / NORMALISATION).exists():
        save_normaliser(images.pipeline.normaliser, run.folder / NORMALISATION)
    checkpoint.sweep(run.checkpoints)
    run.cut_back(state.epoch)


def start(run: Run, experiment: Experiment) -> TrainState:
    """The state before the first step."""
    network = build(run.plan, seed=experiment.seed).to(memory_format=memory_format(experiment))
    return TrainState(network=network, optimizer=optimizer(network, experiment.recipe))


def take_weights(network: Network, weights: TrainedWeights) -> str:
    """Start from trained weights; a sentence that says whose they are and what was left out.

    Raises: CheckpointError if the file is another one than when the run was begun, or not the network's.
    """
    file = Path(weights.file)
    found = weights_in(file)
    if found != weights:
        raise CheckpointError(f"{file} has changed since the run began: sha256 {found.sha256}, not {weights.sha256}")
    taken = start_from(network, file)
    head = ""
    if taken.classes:
        head = f"; its classifier of {taken.classes:,} classes is replaced by a new one of {network.plan.classes:,}"
    return f"starts from {file.name}, named as {taken.source} names weights{head}"


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
    if state.step < run.metrics[-1]["step"]:
        raise CheckpointError(f"{run.folder} has no checkpoint of its end; {found.name} is older")
    return state.network


def _course(experiment: Experiment, images: Material, world: World, state: TrainState) -> Course:
    course = Course(
        recipe=experiment.recipe,
        seed=experiment.seed,
        images=source(images.train, images.pipeline),
        pipeline=images.pipeline,
        layout=memory_format(experiment),
        world=world,
        wrapped=together(state.network, world),
    )
    _check_groups(course, state.network.plan)
    return course


def _check_groups(course: Course, plan: Plan) -> None:
    """Refuse batches that leave a process without an image, or a norm with a single value a channel.

    Raises: UsageError
    """
    world, sizes = course.world, {course.size(0), course.size(course.steps_per_epoch - 1)}
    if min(sizes) < world.size:
        raise UsageError(f"a batch of {min(sizes):,} images is too small for {world.size} processes; start fewer")
    parts = {len(replace(world, rank=rank).share(torch.arange(size))) for size in sizes for rank in range(world.size)}
    groups = {len(each) for part in parts for each in torch.arange(part).split(course.recipe.norm_group or part)}
    points = [layer.output for _, layer in layers(plan) if isinstance(layer.op, Norm)]
    if 1 in groups and any((each.height, each.width) == (1, 1) for each in points):
        raise UsageError(
            "a norm of a 1x1 map has no statistics over a single image, which is what a batch, its last one or its "
            "groups come to here; change batch, norm_group or leftover"
        )


@contextmanager
def _status_told(run: Run, state: TrainState, world: World) -> Iterator[None]:
    """Keep status.json true: running, then how it ended if not by its end."""
    if not world.leads:
        yield
        return
    run.set_status("running", epoch=state.epoch)
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            if isinstance(error, NonFiniteError) and error.evidence:
                write_json(run.folder / NONFINITE, error.evidence)
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


def _metrics(state: TrainState, tally: Tally, images: Material, evaluate: Evaluate) -> dict[str, Any]:
    """The row of a finished epoch; rates and losses of training are means over the epoch, as it went."""
    metrics = {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": state.rate,
        "train_loss": tally.mean_loss,
        "train_error_percent": tally.error_percent,
    }
    if images.validation:
        found = evaluate(state.network, images.validation, images.pipeline)
        metrics.update({f"validation_{name}": value for name, value in found if name != "images"})
    return finite(metrics, of=f"after step {state.step:,}")
