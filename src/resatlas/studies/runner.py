"""Execution of the runs of a study in worker processes; finished runs are reused, interrupted ones are resumed."""

import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resatlas.arch.cost import cost
from resatlas.errors import FolderError, NonFiniteError, ResatlasError, Stopped, UsageError
from resatlas.recipes.recipe import epochs_begun, steps_in_all
from resatlas.runs.collection import write_collection
from resatlas.runs.experiment import Experiment
from resatlas.runs.store import Run, check_writable
from resatlas.studies.frozen import block_order, freeze
from resatlas.studies.sharing import WHOLE, Share
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

if TYPE_CHECKING:  # only the workers import torch
    from resatlas.training.session import Watcher

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 120.0
"""How long a worker may take to finish its step and save a checkpoint after a stop."""

_UNIT_OVERHEAD = 300_000
"""The fixed time that a unit takes per image, in multiply-adds.

Estimated from the times of the demo (2026-11, two cores); used only for the order of runs and the time left.
"""


@dataclass(frozen=True, kw_only=True)
class StudyProgress:
    """The progress of a study."""

    finished: int
    total: int
    share: float
    """The share of the remaining work that is done, by estimated times."""
    results: dict[str, Any] | None = None
    """The results of the run that has just finished, if there is one."""
    note: str = ""
    """A warning about a worker that has not advanced, if there is one."""


_SAVING = "a norm_group below the batch among the settings, smaller images, a smaller design"
"""How a run of a study needs less memory."""

_RESUMING = Execution(resume="auto")

OnProgress = Callable[[StudyProgress], None]
Ended = tuple[Prepared, dict[str, Any]]


def carry_out_study(
    study: Study,
    folder: Path,
    *,
    share: Share = WHOLE,
    blocks: Sequence[int] | None = None,
    workers: int | None = None,
    warn_after: float = NOTE_AFTER,
    on_progress: OnProgress,
) -> None:
    """Carry out the runs of a study, or a share of them, in subfolders of a folder, `workers` at a time.

    `blocks` are seeds: only their runs are carried out, and dealt.
    Other shares may be carried out at the same time, on other machines that see the folder: all deal the runs in the
    same way. By default there is one worker per core.
    Finished runs are kept; interrupted runs resume from their newest valid checkpoint. Workers are started once, to
    import torch once, and share the cores: there are fewer workers if OMP_NUM_THREADS sets more than one thread for
    each. A worker that does not advance is reported every `warn_after` seconds.
    Raises: UsageError for a seed that the study does not have; Stopped after a signal, with every run saved;
    NonFiniteError at the end if a run diverged; any other error of a run at once, with the other runs saved.
    """
    check_writable(folder)
    _check_blocks(study, blocks or ())
    begun = _in_order(study, _prepared(study, folder))
    own = share.dealt([run for run in begun if blocks is None or run.experiment.seed in blocks])
    todo = [run for run in own if not Run(run.folder).concluded]
    before = len(own) - len(todo)
    work = [_work(run) for run in todo]
    amounts = [(run, amount / sum(work)) for run, amount in zip(todo, work, strict=True)]
    done: list[Prepared] = []

    def report(results: dict[str, Any] | None = None, note: str = "") -> None:
        finished = {run.folder for run in done}
        share = sum(amount * (1.0 if run.folder in finished else _share_done(run)) for run, amount in amounts)
        on_progress(StudyProgress(finished=before + len(done), total=len(own), share=share, results=results, note=note))

    trained = sum(Run(run.folder).record().written.get("seconds", 0) for run in own if run not in todo)
    limit = math.inf if study.plan is None or study.plan.hours is None else 3600 * study.plan.hours

    def may_begin() -> bool:
        return trained < limit

    count = workers or max(cores() // (threads_set() or 1), 1)
    with closing(_in_workers(todo, count, warn_after, may_begin)) as events:  # at once, also if a report fails
        for event in events:
            if isinstance(event, str):
                report(note=event)
                continue
            if event:
                done.append(event[0])
                trained += event[1]["seconds"]
            report(event[1] if event else None)


@dataclass
class _Slot:
    """A worker process, the number of batches that it has trained, and its current run."""

    worker: Worker
    mirror: Mirror
    ready: bool = False
    task: Prepared | None = None
    batches: int = 0
    since: float = 0.0
    warned: float = 0.0

    def warning(self, warn_after: float) -> str:
        """A warning each time that the run has trained no batch for another `warn_after` seconds, else ""."""
        now = time.monotonic()
        if self.task is None or self.mirror.value != self.batches:
            self.batches, self.since, self.warned = self.mirror.value, now, 0.0
        if self.task is None or now - self.since < self.warned + warn_after:
            return ""
        self.warned = now - self.since
        pid = self.worker.process.pid
        return f"{self.task.folder.name} has not advanced for {self.warned:.0f} s (worker with pid {pid})"


@dataclass
class _Pool:
    """The workers, the waiting runs, the first error that ends the study, and the first run that diverged."""

    slots: list[_Slot]
    queue: deque[Prepared]
    failure: BaseException | None = None
    diverged: NonFiniteError | None = None
    deadline: float = math.inf

    @property
    def stopping(self) -> bool:
        """Whether the workers are to stop."""
        return self.deadline < math.inf

    @property
    def busy(self) -> bool:
        """Whether runs are waiting or in progress, and the deadline has not passed."""
        waiting = self.queue or any(slot.task for slot in self.slots)
        return bool(waiting) and time.monotonic() < self.deadline

    def hand_out(self) -> None:
        """Give every idle worker a run."""
        for slot in self.slots:
            if slot.ready and not slot.task and self.queue:
                slot.task = self.queue.popleft()
                slot.worker.send((slot.task.experiment, slot.task.folder))

    def results(self) -> Iterator[Ended]:
        """The results that arrive within `_POLL_SECONDS`; errors are stored."""
        by_worker = {slot.worker: slot for slot in self.slots}
        for worker, message in messages(list(by_worker), timeout=_POLL_SECONDS):
            slot = by_worker[worker]
            task, slot.task = slot.task, None
            match message:
                case "ready":
                    slot.ready = True
                case dict() if task:
                    yield task, message
                case Lost():
                    self.slots.remove(slot)
                    self.failure = self.failure or ResatlasError("a worker was killed; rerun the command to continue")
                case Stopped() if self.stopping:
                    pass
                case NonFiniteError() if task:  # the other runs continue
                    self.diverged = self.diverged or NonFiniteError(f"{task.folder.name}: {message}")
                case ResatlasError() if task:
                    self.failure = self.failure or type(message)(f"{task.folder.name}: {message}")
                case _:
                    self.failure = self.failure or message

    def stop(self) -> None:
        """Start no further run, and stop every run after its current step, saved."""
        if not self.stopping:
            self.deadline = time.monotonic() + _GRACE_SECONDS
            self.queue.clear()
            for slot in self.slots:
                slot.worker.send("stop")


def _prepared(study: Study, folder: Path) -> list[Prepared]:
    """All runs, checked; then the folder with the plan and the questions of the study.

    Raises: as `prepare`; FolderError if the plan is another one, or nothing can be written.
    """
    read = cache(read_parts)  # each data set is read once for all runs
    prepared = [
        prepare(experiment, out=folder / name, execution=_RESUMING, read=read)
        for name, experiment in study.distinct_experiments().items()
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        freeze(study, folder)
        write_collection(folder, study.collection())
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from None
    return prepared


def _check_blocks(study: Study, blocks: Sequence[int]) -> None:
    seeds = sorted({experiment.seed for experiment in study.distinct_experiments().values()})
    for seed in blocks:
        if seed not in seeds:
            near = min(seeds, key=lambda known: abs(known - seed))
            listed = ", ".join(map(str, seeds))
            raise UsageError(f"study {study.name} has blocks of the seeds {listed}; got {seed}, the nearest is {near}")


def _in_order(study: Study, runs: list[Prepared]) -> list[Prepared]:
    """The runs in the order in which they begin: the longest first, or block by block if the study has a plan."""
    if study.plan is None:
        return sorted(runs, key=lambda run: (-_work(run), run.folder.name))
    order = block_order(study)
    return sorted(runs, key=lambda run: order.index(run.folder.name))


def _in_workers(
    todo: list[Prepared], count: int, warn_after: float, may_begin: Callable[[], bool]
) -> Generator[Ended | str | None, None, None]:
    """Each run with its results when it has finished; between these, warnings about workers, and None at every poll.

    Runs that have not begun are dropped once no run may begin.
    """
    if not todo or not may_begin():
        return
    with stop_on_signal() as request:
        pool = _Pool([], deque(todo))
        try:
            for _ in range(min(count, len(todo))):
                pool.slots.append(_new_slot(threads_set() or max(cores() // count, 1)))
            while pool.busy:
                if pool.queue and not may_begin():
                    yield f"the hours of the plan are over: {len(pool.queue)} runs do not begin"
                    pool.queue.clear()
                pool.hand_out()
                yield from pool.results()
                if request.signal or pool.failure:
                    pool.stop()
                yield from filter(None, [slot.warning(warn_after) for slot in pool.slots])
                yield None
        finally:
            end([slot.worker for slot in pool.slots])
    if pool.failure and not (request.signal and isinstance(pool.failure, Stopped)):  # Ctrl-C may reach a worker first
        raise pool.failure
    if request.signal:
        saved = (
            "every run saved" if time.monotonic() < pool.deadline else "some runs not saved since their last checkpoint"
        )
        raise Stopped(f"by {request.signal.name}, {saved}; rerun the command to continue")
    if pool.diverged:
        raise pool.diverged


def _new_slot(threads: int) -> _Slot:
    """A new worker without a run."""
    context = get_context("spawn")
    mirror = context.RawValue("Q")
    return _Slot(worker=start(context, _work_for, os.getpid(), threads, mirror), mirror=mirror)


def _share_done(prepared: Prepared) -> float:
    """The share of a run's epochs that its files contain."""
    return len(Run(prepared.folder).metrics) / epochs_begun(prepared.experiment.recipe, len(prepared.parts.train))


def _work(prepared: Prepared) -> float:
    """The estimated relative time of a run."""
    recipe = prepared.experiment.recipe
    images = recipe.batch * steps_in_all(recipe, len(prepared.parts.train))
    units = sum(len(unit.streams) for _, unit in prepared.plan.units)
    return images * (cost(prepared.plan).multiply_adds + _UNIT_OVERHEAD * units)


def _work_for(parent: Connection, parent_id: int, threads: int, mirror: Mirror) -> None:
    """The main function of a worker: import torch once, then train the runs that it receives; end with the parent."""
    PULSE.mirror = mirror
    for number in STOPPING:  # ignored between runs; during a run the session handles them
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    import torch

    torch.set_num_threads(threads)
    from resatlas.training.session import Watcher

    def stop_if_requested(*_: object) -> None:
        if parent.poll() or os.getppid() != parent_id:
            signal.raise_signal(signal.SIGTERM)

    def give_up_if_requested() -> None:
        if parent.poll() or os.getppid() != parent_id:
            raise Stopped("while it waited for the lock of a run")

    watcher = Watcher(on_start=stop_if_requested, on_step=stop_if_requested, on_wait=give_up_if_requested)
    parent.send("ready")
    try:
        while os.getppid() == parent_id:
            if not parent.poll(_POLL_SECONDS):
                continue
            message = parent.recv()
            if message == "stop":
                continue
            experiment, folder = message
            parent.send(_results(experiment, folder, watcher))
    except (EOFError, OSError, KeyboardInterrupt):
        return


def _results(experiment: Experiment, folder: Path, watcher: "Watcher") -> dict[str, Any] | ResatlasError:
    """The results of one run, or the error that ended it."""
    try:
        return carry_out(prepare(experiment, out=folder, execution=_RESUMING), watcher=watcher)
    except Exception as error:  # sent to the parent, which may not be able to unpickle another class
        show_traceback(error)
        return foreseen(error, doing=f"training {experiment.design}", saving=_SAVING)
