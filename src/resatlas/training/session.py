"""One experiment trained in one folder: begun or resumed, saved on the way, ended by its end or by a signal."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from resatlas.arch.ops import Norm
from resatlas.arch.plan import Plan, layers
from resatlas.data.batches import pipeline_for, source
from resatlas.data.dataset import DataSet, ImageFiles, Part, Parts, hold_back
from resatlas.data.normalisation import Normaliser, normaliser_bytes, read_normaliser
from resatlas.data.pipeline import Pipeline
from resatlas.errors import CheckpointError, NonFiniteError, ResatlasError, Stopped, UsageError
from resatlas.nets.initial_weights import start_from
from resatlas.nets.network import Network, build
from resatlas.nets.stochastic_depth import lose_residuals
from resatlas.runs.experiment import Experiment, TrainedWeights, weights_in
from resatlas.runs.files import sha256_of, write_bytes, write_json
from resatlas.runs.record import Beginning, RunRecord
from resatlas.runs.seal import SEAL
from resatlas.runs.store import Run
from resatlas.training import checkpoint
from resatlas.training.average import average_of
from resatlas.training.checkpoint import MANIFEST, NORMALISATION, Saved
from resatlas.training.compiling import compiling, uncompiled
from resatlas.training.distributed import World, current, heeding, losses_told, share_statistics, together
from resatlas.training.execution import AS_USUAL, Execution, Log, device_of
from resatlas.training.leaving_out import require_few
from resatlas.training.logs import logging, logs_here
from resatlas.training.loop import CPU, Course, finite, fit, require_finite
from resatlas.training.memory import memory_kept
from resatlas.training.optimizer import optimizer
from resatlas.training.precision import scaler
from resatlas.training.signals import stop_on_signal
from resatlas.training.state import Tally, TrainState
from resatlas.values.unforeseen import foreseen

GO_ON = "the same command with --resume auto goes on"

Measures = Iterator[tuple[str, float]]
Evaluate = Callable[[Network, Part, Pipeline], Measures]

NONFINITE = "nonfinite.json"
"""The file of a run that tells of the step at which a loss or gradient was no number."""


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """What is called while a training advances; by default nothing happens."""

    on_start: Callable[[Run, Course, TrainState], None] = lambda *_: None
    on_step: Callable[[TrainState], None] = lambda *_: None
    on_epoch: Callable[[dict[str, Any], dict[str, Any]], None] = lambda *_: None
    on_note: Callable[[str], None] = lambda *_: None
    on_image: Callable[[str, int, int], None] = lambda *_: None
    """Before the first step: which images are verified, how many have been, and of how many."""


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
    on_note: Callable[[str], None] = lambda _: None,
) -> Material:
    """The parts of a data set as a recipe splits them; what is measured is measured on the training part alone.

    What the data set sets apart for validation comes before what the recipe holds back.
    """
    recipe = experiment.recipe
    train, validation = parts.train, parts.validation
    if validation is None:
        train, validation = hold_back(train, recipe.validation)
    pipeline = pipeline_for(
        recipe,
        data,
        train,
        normaliser=normaliser,
        unreadable=experiment.unreadable,
        workers=workers,
        on_note=cache(on_note),  # once a training, not once an epoch
    )
    return Material(train=train, validation=validation, test=parts.test, pipeline=pipeline)


def normaliser_of(run: Run | RunRecord) -> Normaliser | None:
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
    execution: Execution = AS_USUAL,
    test_batch: int | None = None,
) -> TrainState:
    """Train to the end, from the start or from a checkpoint.

    `test_batch` is how many images `evaluate` shows at once, for the record.
    Raises: Stopped after a signal, with a checkpoint of the last step; NonFiniteError; CheckpointError.
    """
    world, begun = current(), run.beginning()
    sealed = world.lead(lambda: _sealed(run, images))
    state = first_state(begun.plan, experiment, device_of(execution.device))
    state.network.kept = execution.kept
    for note in _begun(state, resume, run, begun, images, sealed):
        watcher.on_note(note)
    course = course_of(experiment, images, world, state)
    logs = logs_here(execution.logs) if world.leads else ()
    _ready(run, state, course, {**_told(course, execution, logs), "test_batch": test_batch})
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        require_finite(state)
        world.lead(
            lambda: checkpoint.save(
                state,
                run.checkpoints,
                experiment=begun.digest,
                world_size=world.size,
                normalisation=sealed,
                rows=run.rows(state.epoch),
                photographs=isinstance(images.train, ImageFiles),
            )
        )
        saved = time.monotonic()

    with (
        _status_told(run, state, world),
        stop_on_signal() as request,
        heeding(request, lambda status, reason: run.set_status(status, epoch=state.epoch, reason=reason)),
        logging(run, logs, watcher.on_note) as log,
        compiling(state.network, experiment.compiled),
        memory_kept() if execution.kept == "all" else nullcontext(),
    ):

        def on_step(state: TrainState) -> None:
            watcher.on_step(state)
            if stopping := world.agreed(request.signal):
                save()
                raise Stopped(f"by {stopping.name} after step {state.step:,} of {course.steps:,}, saved; {GO_ON}")

        def measure(state: TrainState, tally: Tally, seconds: float) -> float | None:
            require_finite(state)
            with uncompiled(experiment.compiled):
                metrics, timing = _metrics(state, tally, images, evaluate), _timing(state, tally, seconds)
            metrics |= _left_out(state, experiment)
            if experiment.unreadable == "skip" and isinstance(images.train, ImageFiles):
                metrics["substituted_images"] = tally.substituted
            if world.leads:
                run.record_epoch(metrics, timing)
                log({**timing, **metrics})
            watcher.on_epoch(metrics, timing)
            return metrics.get("validation_error_percent")

        def on_epoch(state: TrainState) -> None:
            if state.step == course.steps or world.lead(lambda: time.monotonic() - saved >= save_every):
                save()
                if world.leads:
                    run.set_status("running", epoch=state.epoch)

        watcher.on_start(run, course, state)
        leave_out = {"stop": None, "skip": _leaving_out(run, state, course, watcher)}[experiment.nonfinite]
        fit(state, course, on_step=on_step, measure=measure, on_epoch=on_epoch, leave_out=leave_out)
        if stopping := world.agreed(request.signal):
            raise Stopped(f"by {stopping.name} after the last step, saved; {GO_ON}")
    return state


def _begun(
    state: TrainState, resume: Path | None, run: Run, begun: Beginning, images: Material, sealed: str
) -> Iterator[str]:
    """Set the state to what the training resumes or starts from; what there is to say of that.

    Raises: CheckpointError, also where the rows of the run are not those of the checkpoint
    """
    world, experiment = current(), begun.experiment
    if resume:
        saved = checkpoint.load(state, resume, experiment=begun.digest, normalisation=sealed)
        world.lead(lambda: run.check_rows(state.epoch, saved.rows))
        if saved.world_size != world.size:
            yield f"goes on with {world.size} processes from {saved.world_size}: the same images, last bits differ"
        if saved.rows is None:
            yield f"{resume.name} is of an earlier version: it cannot tell whether the rows of its epochs were changed"
        yield from _other_versions(saved, checkpoint.versions(isinstance(images.train, ImageFiles)))
    elif experiment.weights:
        yield take_weights(state.network, experiment.weights)
    if world.size > 1 and experiment.recipe.norm_group is None:
        yield f"each of {world.size} processes normalises by the statistics of its own part of a batch"


def _other_versions(saved: Saved, here: Mapping[str, str]) -> Iterator[str]:
    """A sentence where a package has another version than when a checkpoint was saved."""
    changed = [(name, before, here.get(name, "missing")) for name, before in saved.versions.items()]
    changes = [f"{name} {before} then, {now} now" for name, before, now in changed if before != now]
    if changes:
        yield f"other versions than at the last save ({'; '.join(changes)}): results may differ in their last bits"


def _leaving_out(run: Run, state: TrainState, course: Course, watcher: Watcher) -> Callable[[NonFiniteError], None]:
    """Record each skipped step; fail after too many."""

    def leave_out(error: NonFiniteError) -> None:
        require_few(state, error, steps=course.steps)
        if course.world.leads:
            _write_evidence(run, error)
        watcher.on_note(f"step {state.step:,} is left out, {state.skipped:,} so far: {error}")

    return leave_out


def _write_evidence(run: Run, error: NonFiniteError) -> None:
    """Leave what is known of a step that was not finite, if there is room for it."""
    if error.evidence:
        with suppress(OSError):
            write_json(run.folder / NONFINITE, error.evidence, within=run.folder)


def _sealed(run: Run, images: Material) -> str:
    """The sha256 of the file that says how the run normalises its images, written if it was not."""
    file = run.folder / NORMALISATION
    if not file.exists():
        write_bytes(file, normaliser_bytes(images.pipeline.normaliser), within=run.folder)
    return sha256_of(file)


def _seal(run: RunRecord) -> str | None:
    """The same of a run that is only read, which may be of a version without the file."""
    file = run.folder / NORMALISATION
    return sha256_of(file) if file.exists() else None


def _ready(run: Run, state: TrainState, course: Course, how: dict[str, Any]) -> None:
    """Leave in the folder what the state goes on from and how it does, and nothing after it."""
    if course.world.leads:
        checkpoint.sweep(run.checkpoints)
        run.cut_back(state.epoch)
        run.record_execution(how)


def _told(course: Course, execution: Execution, logs: Sequence[Log]) -> dict[str, Any]:
    """How the training is carried out from here on, as env.json says it."""
    device = course.device
    return {
        **execution.to_json(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "logs": list(logs),
        "processes": course.world.size,
        "threads": torch.get_num_threads(),
    }


def start(run: RunRecord, experiment: Experiment, device: torch.device = CPU) -> TrainState:
    """The state of a run before the first step."""
    return first_state(run.plan, experiment, device)


def first_state(plan: Plan, experiment: Experiment, device: torch.device = CPU) -> TrainState:
    """The state before the first step: a network of the plan, and what updates it."""
    recipe = experiment.recipe
    network = build(plan, seed=experiment.seed).to(device).to(memory_format=memory_format(experiment))
    lose_residuals(network, recipe.stochastic_depth)
    average = average_of(network) if recipe.average else None
    return TrainState(
        network=network,
        optimizer=optimizer(network, recipe),
        average=average,
        scaler=scaler(experiment.precision, device),
    )


def take_weights(network: Network, weights: TrainedWeights) -> str:
    """Start from trained weights; a sentence that says whose they are and what was left out.

    Raises: CheckpointError if the file is another one than when the run was begun, or not the network's.
    """
    file = Path(weights.file)
    found = weights_in(file, which=weights.which)
    if found != weights:
        raise CheckpointError(f"{file} has changed since the run began: sha256 {found.sha256}, not {weights.sha256}")
    taken = start_from(network, file, which=weights.which)
    words = [f"starts from {file.name}, named as {taken.source} names weights", *taken.notes]
    if taken.classes:
        words.append(
            f"its classifier of {taken.classes:,} classes is replaced by a new one of {network.plan.classes:,}"
        )
    return "; ".join(words)


def memory_format(experiment: Experiment) -> torch.memory_format:
    """The layout of the experiment as torch names it."""
    return torch.channels_last if experiment.layout == "channels-last" else torch.contiguous_format


def trained(run: RunRecord, experiment: Experiment) -> Network:
    """The network of a finished run's newest checkpoint, as it was tested: the average where the recipe has one.

    Raises: CheckpointError if there is none, or if it is not valid: no older one stands in for it.
    """
    found, rejected = checkpoint.newest_valid(run.checkpoints)
    if found is None or rejected:
        reasons = "; ".join(f"{each.name} {each.reason}" for each in rejected)
        raise CheckpointError(f"{run.folder} has no valid checkpoint{' of its end: ' + reasons if reasons else ''}")
    if run.seal and (found.name, sha256_of(found / MANIFEST)) != (run.seal.checkpoint, run.seal.manifest):
        raise CheckpointError(f"{found} is not the checkpoint that {SEAL} of the run names")
    state = start(run, experiment)
    checkpoint.load(state, found, experiment=run.digest, normalisation=_seal(run))
    if not run.metrics or state.step < run.metrics[-1].step:
        raise CheckpointError(f"{run.folder} has no checkpoint of its end; {found.name} is older")
    return state.tested


def course_of(experiment: Experiment, images: Material, world: World, state: TrainState) -> Course:
    """What the loop runs over, in the layout and precision of the experiment.

    Raises: UsageError for batches or groups of norms that these processes cannot have.
    """
    device = next(state.network.parameters()).device
    shown = source(images.train, images.pipeline)
    among = sharing(experiment.recipe.norm_group, min(experiment.recipe.batch, len(shown)), world, device)
    if among > 1:
        share_statistics(state.network, world, among=among)
    course = Course(
        recipe=experiment.recipe,
        seed=experiment.seed,
        images=shown,
        pipeline=images.pipeline,
        layout=memory_format(experiment),
        precision=experiment.precision or "fp32",
        device=device,
        world=world,
        wrapped=together(state.network, world),
    )
    _check_groups(course, state.network.plan)
    return course


def sharing(norm_group: int | None, batch: int, world: World, device: torch.device) -> int:
    """How many processes share the statistics of a norm's group, of a first batch of so many images.

    Raises: UsageError for a group that they cannot share: of part of a process, or without GPUs.
    """
    group, share = min(norm_group or 1, batch), max(1, batch // world.size)
    if group <= share:
        return 1
    told = f"norm_group {group:,} is more than the {share:,} images of a batch in each of {world.size} processes"
    remedy = f"set norm_group={share} or start fewer"
    if device.type != "cuda":
        raise UsageError(f"{told}, which share statistics on GPUs alone; {remedy}")
    if batch % world.size or group % share or world.size % (group // share):
        raise UsageError(f"{told}, and these are not shared out evenly in such groups; {remedy}")
    return group // share


def _check_groups(course: Course, plan: Plan) -> None:
    """Refuse batches that leave a process without an image, or a norm with a single value.

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
    """Have status.json say why what happens within was stopped or failed, whatever the reason."""
    try:
        with losses_told():
            yield
    except BaseException as error:
        if world.leads:
            reason = foreseen(error, doing=f"training {run.name}")
            status = "stopped" if isinstance(reason, Stopped) else "failed"
            with suppress(OSError, ResatlasError):  # the folder is gone, or its rows are damaged
                run.set_status(status, epoch=epoch(), reason=str(reason))
        raise


def _left_out(state: TrainState, experiment: Experiment) -> dict[str, float]:
    """What the row of a finished epoch says of updates that were left out so far, where there may be some."""
    skipped = {"skipped_steps": state.skipped} if experiment.nonfinite == "skip" else {}
    scaled = {"overflows": state.overflows, "loss_scale": state.scaler.get_scale()} if state.scaler.is_enabled() else {}
    return skipped | scaled


def _timing(state: TrainState, tally: Tally, seconds: float) -> dict[str, Any]:
    """The row of a finished epoch that tells its time."""
    return {
        "epoch": state.epoch,
        "images": tally.images,
        "seconds": seconds,
        "images_per_second": tally.images / max(seconds, 1e-9),
    }


def _metrics(state: TrainState, tally: Tally, images: Material, evaluate: Evaluate) -> dict[str, Any]:
    """The row of a finished epoch; rates and losses of training are means over the epoch, as it went.

    Raises: NonFiniteError
    """
    if not tally.images:
        raise NonFiniteError(f"no step of epoch {state.epoch} was finite; a lower schedule.peak may help")
    metrics = {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": state.rate,
        "train_loss": tally.mean_loss,
        "train_error_percent": tally.error_percent,
    }
    if images.validation:
        found = evaluate(state.tested, images.validation, images.pipeline)
        metrics.update({f"validation_{name}": value for name, value in found if name != "images"})
    finite(metrics, of=f"after step {state.step:,}")
    return metrics if state.average is None else {**metrics, "weights": "average"}
