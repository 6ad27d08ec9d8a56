"""The number of threads of a process: by rule, as recorded by the run, or from OMP_NUM_THREADS.

The threads of each operation synchronise at its end. Small operations gain less than this costs, and if other processes
use the cores, a thread also waits until the others are scheduled. So a second thread is used only for large operations.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan
from resatlas.errors import FolderError
from resatlas.runs.environment import local_processes, processes
from resatlas.runs.files import read_json
from resatlas.runs.names import ENVIRONMENT
from resatlas.values.cores import cores

_PER_THREAD = 2_000_000_000
"""Multiply-adds of a forward pass per thread. Measured on two shared cores: docs/log.md, 2026-11."""

PASS = 256
"""Images per forward pass of a test."""

VARIABLE = "OMP_NUM_THREADS"


def threads_set() -> int | None:
    """The number of threads in OMP_NUM_THREADS, if it is set; the first of a list."""
    first = os.environ.get(VARIABLE, "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def _most_threads() -> int:
    """The largest number of threads of a process: OMP_NUM_THREADS, or its share of the available cores."""
    import torch

    if threads_set():
        return torch.get_num_threads()
    return max(min(cores() // local_processes(), torch.get_num_threads()), 1)


def threads_for(plan: Plan, *, images: int | None) -> int:
    """OMP_NUM_THREADS, or one thread per `_PER_THREAD` multiply-adds of a pass of `images`, up to `_most_threads`.

    `images` is None if a GPU computes; all threads then prepare its images.
    """
    if images is None or threads_set():
        return _most_threads()
    return threads_by_rule(plan, images=images, most=_most_threads())


def threads_by_rule(plan: Plan, *, images: int, most: int) -> int:
    """`most` if OMP_NUM_THREADS is set; else one thread per `_PER_THREAD` multiply-adds of a pass, up to `most`."""
    return most if threads_set() else max(min(cost(plan).multiply_adds * images // _PER_THREAD, most), 1)


def threads_of(folder: Path, plan: Plan, *, images: int | None, on_note: Callable[[str], None] = lambda _: None) -> int:
    """The number of threads that the run of a folder began with, since last bits depend on it; else `threads_for`."""
    chosen, before = threads_for(plan, images=images), _recorded(folder)
    if before is None or before == chosen:
        return chosen
    if threads_set():
        on_note(f"{VARIABLE} gives {chosen} threads, the run began with {before}: the last bits differ")
        return chosen
    if before > _most_threads():
        on_note(f"the run began with {before} threads, here it has {_most_threads()}: the last bits differ")
    return min(before, _most_threads())


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """Set the number of threads of torch within the context."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _recorded(folder: Path) -> int | None:
    """The threads of each process in env.json, if that training had as many processes as this one."""
    try:
        environment = read_json(folder / ENVIRONMENT)
    except FolderError:
        return None
    execution = environment.get("execution") if isinstance(environment, dict) else None
    if not isinstance(execution, dict) or execution.get("processes") != processes():
        return None
    threads = execution.get("threads")
    return threads if type(threads) is int and threads > 0 else None
