"""How many threads compute in a process: by rule, as a run was begun, or as OMP_NUM_THREADS says.

Each operation ends where all its threads meet. Small operations gain less than that costs, and where other processes
have the cores, a thread that waits for another one waits for its turn. So a second thread has to be worth it.
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

PER_THREAD = 2_000_000_000
"""Multiply-adds that a pass forward has for each of its threads. Measured on two shared cores: docs/log.md, 2026-11."""

PASS = 256
"""Images of a pass in a test."""

GIVEN = "OMP_NUM_THREADS"


def given() -> int | None:
    """The threads that OMP_NUM_THREADS names, if it names any; of a list the first."""
    first = os.environ.get(GIVEN, "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def most_threads() -> int:
    """The most that a process computes on: OMP_NUM_THREADS, or its part of the cores that it may use."""
    import torch

    if given():
        return torch.get_num_threads()
    return max(min(cores() // local_processes(), torch.get_num_threads()), 1)


def threads_for(plan: Plan, *, images: int | None) -> int:
    """OMP_NUM_THREADS; else one for each `PER_THREAD` multiply-adds of a pass of so many images, up to the most.

    Without `images` a GPU computes, and all threads prepare for it.
    """
    if images is None or given():
        return most_threads()
    return max(min(cost(plan).multiply_adds * images // PER_THREAD, most_threads()), 1)


def threads_of(folder: Path, plan: Plan, *, images: int | None, on_note: Callable[[str], None] = lambda _: None) -> int:
    """As many as the run of a folder was begun with, since its last bits depend on them; else as `threads_for`."""
    chosen, before = threads_for(plan, images=images), _recorded(folder)
    if before is None or before == chosen:
        return chosen
    if given():
        on_note(f"{GIVEN} gives {chosen} threads, the run began with {before}: the last bits differ")
        return chosen
    if before > most_threads():
        on_note(f"the run began with {before} threads, here it has {most_threads()}: the last bits differ")
    return min(before, most_threads())


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """Compute on so many threads meanwhile."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _recorded(folder: Path) -> int | None:
    """The threads of each process, as env.json has them, of a training in as many processes as now."""
    try:
        found = read_json(folder / ENVIRONMENT)
    except FolderError:
        return None
    execution = found.get("execution") if isinstance(found, dict) else None
    if not isinstance(execution, dict) or execution.get("processes") != processes():
        return None
    threads = execution.get("threads")
    return threads if type(threads) is int and threads > 0 else None
