"""Many runs one after another on every core, each reused if finished and resumed if broken off."""

import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resatlas.arch.cost import cost
from resatlas.errors import FolderError, NonFiniteError, ResatlasError, Stopped
from resatlas.recipes.recipe import epochs_begun, steps_in_all
from resatlas.runs.collection import write_collection
from resatlas.runs.experiment import Experiment
from resatlas.runs.store import Run, check_writable
from resatlas.studies.single import Prepared, carry_out, prepare, read_parts
from resatlas.studies.study import Study
from resatlas.training.execution import Execution
from resatlas.training.signals import STOPPING, stop_on_signal
from resatlas.training.threads import threads_set
from resatlas.training.watch import NOTE_AFTER
from resatlas.values.cores import cores
from resatlas.values.pulse import PULSE, Mirror
from resatlas.values.unforeseen import foreseen, show_traceback
from resatlas.values.workers import Lost, Worker, end, messages, start

if TYPE_CHECKING:  # the workers alone import torch
    from resatlas.training.session import Watcher

POLL_SECONDS = 0.5
GRACE_SECONDS = 120.0
"""How long a worker may take for its step and its checkpoint after a stop."""

UNIT_OVERHEAD = 300_000
"""What a unit of a small network costs an image beyond its multiply-adds, in multiply-adds.

A guess from the demo's own times (2026-11, two cores), used for the order of runs and the time left alone.
"""


@dataclass(frozen=True, kw_only=True)
class Advance:
    """How far a study is."""

    finished: int
    total: int
    share: float
    """Of the work that was left to do, by guessed times."""
    results: dict[str, Any] | None = None
    """Those of the run that has just ended, if one has."""
    note: str = ""
    """Which worker has not advanced for how long, when that is to be told."""


SAVING = "a norm_group below the batch among the settings, smaller images, a smaller design"
"""What makes a run of a study need less memory."""

RESUMING = Execution(resume="auto")

OnAdvance = Callable[[Advance], None]
Ended = tuple[Prepared, dict[str, Any]]


def carry_out_study(
    study: Study, folder: Path, *, workers: int | None = None, told_after: float = NOTE_AFTER, on_advance: OnAdvance
) -> None:
    """Carry out every run of a study below a folder, `workers` at a time, by default one a core.

    Finished runs are kept as they are; broken ones go on from their newest valid checkpoint. Workers are started
    once, keep what they imported, and share the cores: where OMP_NUM_THREADS gives each several threads, there are
    fewer. A worker that does not advance is told of every `told_after` seconds.
    Raises: Stopped after a signal, every run saved; NonFiniteError at the end if a run diverged; whatever else a run
    raises, at once, the others saved.
    """
    check_writable(folder)
    read = cache(read_parts)  # once for all runs
    prepared = [
        prepare(each, out=folder / name, execution=RESUMING, read=read) for name, each in study.distinct().items()
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_collection(folder, study.collection())
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from None
    todo = sorted((each for each in prepared if not Run(each.folder).concluded), key=_work, reverse=True)
    before = len(prepared) - len(todo)
    work = sum(map(_work, todo))
    done: list[Prepared] = []

    def advance(results: dict[str, Any] | None = None, note: str = "") -> None:
        share = sum(_work(each) * (1.0 if each in done else _share_done(each)) for each in todo) / work
        on_advance(Advance(finished=before + len(done), total=len(prepared), share=share, results=results, note=note))

    for ended in _in_workers(todo, workers or max(cores() // (threads_set() or 1), 1), told_after):
        if isinstance(ended, str):
            advance(note=ended)
            continue
        if ended:
            done.append(ended[0])
        advance(ended[1] if ended else None)


@dataclass
class _Slot:
    """A worker that carries out runs, the count of its batches, and the run that it has."""

    worker: Worker
    mirror: Mirror
    ready: bool = False
    task: Prepared | None = None
    batches: int = 0
    since: float = 0.0
    told: float = 0.0

    def silence(self, told_after: float) -> str:
        """A sentence, now and then, on a worker whose run has not advanced by a batch for so many seconds or more."""
        now = time.monotonic()
        if self.task is None or self.mirror.value != self.batches:
            self.batches, self.since, self.told = self.mirror.value, now, 0.0
        if self.task is None or now - self.since < self.told + told_after:
            return ""
        self.told = now - self.since
        pid = self.worker.process.pid
        return f"{self.task.folder.name} has not advanced for {self.told:.0f} s (worker with pid {pid})"


@dataclass
class _Crew:
    """The workers, the runs that wait for one, the first error that ends all, and the first run that diverged."""

    slots: list[_Slot]
    queue: deque[Prepared]
    failure: BaseException | None = None
    diverged: NonFiniteError | None = None
    deadline: float = math.inf

    @property
    def stopping(self) -> bool:
        """Whether the workers were told to end."""
        return self.deadline < math.inf

    @property
    def busy(self) -> bool:
        """Whether runs wait or are in progress, and may still take their time."""
        waiting = self.queue or any(slot.task for slot in self.slots)
        return bool(waiting) and time.monotonic() < self.deadline

    def hand_out(self) -> None:
        """Give every idle worker a run."""
        for slot in self.slots:
            if slot.ready and not slot.task and self.queue:
                slot.task = self.queue.popleft()
                slot.worker.send((slot.task.experiment, slot.task.folder))

    def results(self) -> Iterator[Ended]:
        """The results that come within a while."""
        by_worker = {slot.worker: slot for slot in self.slots}
        for worker, message in messages(list(by_worker), timeout=POLL_SECONDS):
            slot = by_worker[worker]
            task, slot.task = slot.task, None
            match message:
                case "ready":
                    slot.ready = True
                case dict() if task:
                    yield task, message
                case Lost():
                    self.slots.remove(slot)
                    self.failure = self.failure or ResatlasError("a worker was killed; the same command goes on")
                case Stopped() if self.stopping:
                    pass
                case NonFiniteError() if task:  # no other run is the worse for it
                    self.diverged = self.diverged or NonFiniteError(f"{task.folder.name}: {message}")
                case ResatlasError() if task:
                    self.failure = self.failure or type(message)(f"{task.folder.name}: {message}")
                case _:
                    self.failure = self.failure or message

    def stop(self) -> None:
        """Begin nothing more, and have every run end at its next step, saved."""
        if not self.stopping:
            self.deadline = time.monotonic() + GRACE_SECONDS
            self.queue.clear()
            for slot in self.slots:
                slot.worker.send("stop")


def _in_workers(todo: list[Prepared], count: int, told_after: float) -> Iterator[Ended | str | None]:
    """Each run with its results as it ends, and now and then a sentence on a worker that is silent, or None."""
    if not todo:
        return
    with stop_on_signal() as request:
        crew = _Crew([], deque(todo))
        try:
            for _ in range(min(count, len(todo))):
                crew.slots.append(_slot(threads_set() or max(cores() // count, 1)))
            while crew.busy:
                crew.hand_out()
                yield from crew.results()
                if request.signal or crew.failure:
                    crew.stop()
                yield from filter(None, [slot.silence(told_after) for slot in crew.slots])
                yield None
        finally:
            end([slot.worker for slot in crew.slots])
    if crew.failure and not (request.signal and isinstance(crew.failure, Stopped)):  # a worker may hear Ctrl-C first
        raise crew.failure
    if request.signal:
        saved = "every run saved" if time.monotonic() < crew.deadline else "some runs not saved since their last epoch"
        raise Stopped(f"by {request.signal.name}, {saved}; the same command goes on")
    if crew.diverged:
        raise crew.diverged


def _slot(threads: int) -> _Slot:
    """A new worker without a run."""
    context = get_context("spawn")
    mirror = context.RawValue("Q")
    return _Slot(worker=start(context, _work_for, os.getpid(), threads, mirror), mirror=mirror)


def _share_done(prepared: Prepared) -> float:
    """Finished epochs of a run, as its files tell."""
    return len(Run(prepared.folder).metrics) / epochs_begun(prepared.experiment.recipe, len(prepared.parts.train))


def _work(prepared: Prepared) -> float:
    """A guess at the relative time of a run."""
    recipe = prepared.experiment.recipe
    images = recipe.batch * steps_in_all(recipe, len(prepared.parts.train))
    units = sum(len(unit.streams) for _, unit in prepared.plan.units)
    return images * (cost(prepared.plan).multiply_adds + UNIT_OVERHEAD * units)


def _work_for(parent: Connection, parent_id: int, threads: int, mirror: Mirror) -> None:
    """A worker: what training needs imported once, runs as they come; it ends with its parent."""
    PULSE.mirror = mirror
    for number in STOPPING:  # between runs; during a run its session listens
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    import torch

    torch.set_num_threads(threads)
    from resatlas.training.session import Watcher

    def stop_if_told(*_: object) -> None:
        if parent.poll() or os.getppid() != parent_id:
            signal.raise_signal(signal.SIGTERM)

    watcher = Watcher(on_start=stop_if_told, on_step=stop_if_told)
    parent.send("ready")
    try:
        while os.getppid() == parent_id:
            if not parent.poll(POLL_SECONDS):
                continue
            message = parent.recv()
            if message == "stop":
                continue
            experiment, folder = message
            parent.send(_results(experiment, folder, watcher))
    except (EOFError, OSError, KeyboardInterrupt):
        return


def _results(experiment: Experiment, folder: Path, watcher: "Watcher") -> dict[str, Any] | ResatlasError:
    """The results of one run, or what kept it from having any."""
    try:
        return carry_out(prepare(experiment, out=folder, execution=RESUMING), watcher=watcher)
    except Exception as error:  # the parent reports it, and may not know its class
        show_traceback(error)
        return foreseen(error, doing=f"training {experiment.design}", saving=SAVING)
