"""A few measured steps of a training, in a process of its own: seconds of a step and of a batch, and memory."""

import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from resatlas.errors import ProcessLost, ResatlasError
from resatlas.runs.experiment import Experiment
from resatlas.training.execution import Execution
from resatlas.values.room import peak_memory
from resatlas.values.unforeseen import foreseen, show_traceback
from resatlas.values.workers import Lost, end, exit_cause, messages, start

if TYPE_CHECKING:
    from resatlas.data.batch import Batch
    from resatlas.training.loop import TrainingPlan
    from resatlas.training.state import TrainState

_STEPS, _FEWEST_STEPS = 12, 3
_MOST_SECONDS = 20.0
"""Time limit of the steps; `_FEWEST_STEPS` take place in any case, after one that does not count."""

_BATCHES = 40
_LOADING_SECONDS = 10.0
"""Time limit of the batches that are loaded without a step."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Seconds of each step without its batch, seconds of each batch, and the largest memory; None if unknown."""

    steps: tuple[float, ...]
    batches: tuple[float, ...]
    memory: int | None

    @property
    def batch_seconds(self) -> float:
        """The mean time between two batches, of which several may be prepared at once."""
        return statistics.fmean(self.batches)


def rehearse(experiment: Experiment, execution: Execution, *, processes: int, threads: int) -> Rehearsal:
    """Some steps of an experiment as one of several processes takes them, without the exchange between them.

    Raises: ResatlasError as a training would; ProcessLost if the process is killed, as for lack of memory.
    """
    worker = start(get_context("spawn"), _rehearse, experiment, execution, processes, threads)
    try:
        [(_, answer)] = messages([worker])
        if isinstance(answer, Lost):
            raise ProcessLost(
                f"the process that measured {experiment.design} was ended by {exit_cause([worker])}; a smaller --batch "
                "needs less memory"
            )
        if isinstance(answer, ResatlasError):
            raise answer
        measured: Rehearsal = answer
        return measured
    finally:
        end([worker])


def _rehearse(pipe: Connection, experiment: Experiment, execution: Execution, processes: int, threads: int) -> None:
    """Measure, and send the result or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the process that waits for the answer
    try:
        answer: Any = _measured(experiment, execution, processes, threads)
    except Exception as error:  # it becomes one line where the answer is awaited
        show_traceback(error)
        answer = foreseen(error, doing=f"measuring steps of {experiment.design}", saving="a smaller --batch")
    pipe.send(answer)
    pipe.close()


def _measured(experiment: Experiment, execution: Execution, processes: int, threads: int) -> Rehearsal:
    import torch

    from resatlas.data.annotated import resolve_any
    from resatlas.data.boxes import AnnotatedParts, DetectionData
    from resatlas.data.dataset import DataSet, Parts
    from resatlas.studies.tasks import classes_of, masks_for, plan_for
    from resatlas.training.distributed import ALONE
    from resatlas.training.execution import device_of
    from resatlas.training.memory import memory_kept
    from resatlas.training.planning import plan_training
    from resatlas.training.splits import split_annotated, split_images
    from resatlas.training.starting import first_state

    torch.set_num_threads(threads)
    recipe = experiment.recipe
    share = -(-recipe.batch // processes)
    own = replace(
        experiment,
        recipe=replace(
            recipe,
            batch=share,
            norm_group=recipe.norm_group and min(recipe.norm_group, share),
            repeats=min(recipe.repeats, share),
        ),
    )
    data = resolve_any(own.data, masks=masks_for(recipe.task))
    parts = data.read()
    plan = plan_for(own, data, parts)
    match data, parts:
        case DataSet(), Parts():
            images = split_images(parts, own, data, workers=execution.workers)
        case DetectionData(), AnnotatedParts():
            images = split_annotated(parts, own, data, workers=execution.workers)
        case _:
            raise TypeError(f"{data.name} does not have the images {type(parts).__name__}")
    classes = len(classes_of(recipe.task, data))
    state = first_state(plan, own, device_of(execution.device), classes=classes)
    state.network.kept = execution.kept
    training = plan_training(own, images, ALONE, state)
    state.module.train()
    if execution.kept == "all":
        with memory_kept():
            return _timed(state, training)
    return _timed(state, training)


def _loaded(state: "TrainState", training: "TrainingPlan") -> "tuple[list[float], Batch]":
    """The seconds of each of some batches, and the last one; the processes that read images end with the function."""
    from resatlas.training.loop import epoch

    seconds: list[float] = []
    batches, started = epoch(state, training), time.perf_counter()
    while True:
        batch = next(batches)
        seconds.append(time.perf_counter() - started - sum(seconds))
        if len(seconds) >= min(_BATCHES, training.steps_per_epoch) or sum(seconds) > _LOADING_SECONDS:
            return seconds, batch


def _in_turn(state: "TrainState", training: "TrainingPlan", seconds: list[float]) -> Iterator[Any]:
    """Batches one after another, whose seconds are noted; those of later epochs are those of the first."""
    while True:
        state.batch = 0
        batches = training.learner.batches(state, training)
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            seconds.append(time.perf_counter() - started)
            yield batch


def _timed(state: "TrainState", training: "TrainingPlan") -> Rehearsal:
    """Steps of one batch of labels, whose images have one size; or of one batch with objects after another."""
    from resatlas.training.loop import Classifying, step

    loading: list[float] = []
    if isinstance(training.learner, Classifying):
        loading, batch = _loaded(state, training)
        batches: Iterator[Any] = repeat(batch)
    else:
        batches = _in_turn(state, training, loading)
    steps: list[float] = []
    while not _enough(steps[1:]):
        batch = next(batches)
        state.step = state.batch = 0  # each as the first one, whatever the length of the training
        started = time.perf_counter()
        step(state, batch, training)
        steps.append(time.perf_counter() - started)
    return Rehearsal(steps=tuple(steps[1:]), batches=_settled(loading), memory=_memory())


def _enough(seconds: Sequence[float]) -> bool:
    return len(seconds) >= _STEPS or (len(seconds) >= _FEWEST_STEPS and sum(seconds) > _MOST_SECONDS)


def _settled(batches: Sequence[float]) -> tuple[float, ...]:
    """The times without the first, during which the processes that read images start, if there are others."""
    return tuple(batches[1:] or batches)


def _memory() -> int | None:
    try:
        return peak_memory()
    except (OSError, LookupError):  # only Linux has the file
        return None
