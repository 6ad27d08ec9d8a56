"""Work in threads, with results in order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 16
"""Tasks that a thread takes at once, since handing over a task takes longer than looking up a file."""


def threaded(work: Callable[[T], R], tasks: Sequence[T], *, threads: int) -> Iterator[R]:
    """Yield the result of each task in order, computed in threads; pending tasks are cancelled at an error.

    Unlike a pool of multiprocessing it needs no semaphore, which needs /dev/shm.
    """

    def run_chunk(chunk: Sequence[T]) -> list[R]:
        return list(map(work, chunk))

    pool = ThreadPoolExecutor(max(threads, 1))
    chunks = (tasks[k : k + CHUNK] for k in range(0, len(tasks), CHUNK))
    try:
        for results in pool.map(run_chunk, chunks):
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)
