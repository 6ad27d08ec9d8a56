"""Many runs one after another on every core, each reused if finished and resumed if broken off."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing import active_children, get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from resatlas.arch.cost import cost
from resatlas.errors import ResatlasError, Stopped
from resatlas.runs.collection import write_collection
from resatlas.runs.experiment import Experiment
from resatlas.runs.store import Run, check_writable
from resatlas.studies.single import Prepared, carry_out, prepare, read_parts
from resatlas.studies.study import Study
from resatlas.training.signals import STOPPING, stop_on_signal

POLL_SECONDS = 0.5

UNIT_OVERHEAD = 300_000
"""What a unit of a small network costs an image beyond its multiply-adds, in multiply-adds; only to guess times."""


@dataclass(frozen=True, kw_only=True)
class Advance:
    """How far a study is."""

    finished: int
    total: int
    share: float
    """Of the work that this session had to do, by guessed times."""
    results: dict[str, Any] | None = None
    """Those of the run that has just ended, if one has."""


OnAdvance = Callable[[Advance], None]


def carry_out_study(study: Study, folder: Path, *, workers: int | None = None, on_advance: OnAdvance) -> None:
    """Carry out every run of a study below a folder, `workers` at a time, by default one a core.

    Finished runs are kept as they are; broken ones go on from their newest valid checkpoint. Workers are started
    once, keep what they imported, and compute on one thread each.
    Raises: Stopped after a signal, every run saved; whatever the first failing run raises, the others saved.
    """
    check_writable(folder)
    read = cache(read_parts)  # once for all runs
    prepared = [prepare(each, out=folder / name, resume="auto", read=read) for name, each in study.distinct().items()]
    folder.mkdir(parents=True, exist_ok=True)
    write_collection(folder, study.collection())
    todo = sorted((each for each in prepared if not Run(each.folder).finished), key=_work, reverse=True)
    before = len(prepared) - len(todo)
    work = sum(map(_work, todo))
    done: list[Prepared] = []

    def advance(results: dict[str, Any] | None = None) -> None:
        share = sum(_work(each) * (1.0 if each in done else _share_done(each)) for each in todo) / work
        on_advance(Advance(finished=before + len(done), total=len(prepared), share=share, results=results))

    for ended in _in_workers(todo, workers or os.cpu_count() or 1):
        if ended:
            done.append(ended[0])
        advance(ended[1] if ended else None)


def _in_workers(todo: list[Prepared], workers: int) -> Iterator[tuple[Prepared, dict[str, Any]] | None]:
    """Each run with its results as it ends, and now and then None."""
    if not todo:
        return
    context = get_context("spawn")
    stopping = context.Event()
    failure: BaseException | None = None
    count = min(workers, len(todo))
    with (
        ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker, initargs=(stopping,)) as pool,
        stop_on_signal() as request,
    ):
        waiting: dict[Future[dict[str, Any]], Prepared] = {
            pool.submit(_one, each.experiment, each.folder): each for each in todo
        }
        while waiting:
            ended, _ = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in ended:
                each = waiting.pop(future)
                try:
                    yield each, future.result()
                except (CancelledError, Stopped):
                    continue
                except BrokenProcessPool:
                    failure = failure or ResatlasError("a worker was killed; the same command goes on")
                except ResatlasError as error:
                    failure = failure or type(error)(f"{each.folder.name}: {error}")
            if (request.signal or failure) and not stopping.is_set():
                stopping.set()
                for future in waiting:
                    future.cancel()
                for worker in active_children():
                    worker.terminate()  # SIGTERM: the run ends at its next step, saved
            yield None
        if failure:
            raise failure
        if request.signal:
            raise Stopped(f"by {request.signal.name}, every run saved; the same command goes on")


def _share_done(prepared: Prepared) -> float:
    """Finished epochs of a run, as its files tell."""
    return len(Run(prepared.folder).metrics) / prepared.experiment.recipe.epochs


def _work(prepared: Prepared) -> float:
    """A guess at the relative time of a run."""
    images = len(prepared.parts.train) * prepared.experiment.recipe.epochs
    units = sum(len(unit.streams) for _, unit in prepared.plan.units)
    return images * (cost(prepared.plan).multiply_adds + UNIT_OVERHEAD * units)


_stopping: list[Event] = []


def _begin_worker(stopping: Event) -> None:
    """One thread; signals are for the run in progress alone; what training needs is imported once."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    _stopping.append(stopping)
    import torch

    torch.set_num_threads(1)


def _one(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """One run in a worker."""
    if _stopping[0].is_set():
        raise Stopped("before its first step")
    from resatlas.training.session import UNWATCHED

    return carry_out(prepare(experiment, out=folder, resume="auto"), watcher=UNWATCHED, resume="auto")
