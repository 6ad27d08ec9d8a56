"""Work in threads, with its results in order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 16
"""Tasks that a thread takes at once: handing over one takes longer than looking up a file."""


def threaded(work: Callable[[T], R], tasks: Sequence[T], *, threads: int) -> Iterator[R]:
    """What the work makes of each task, in order, by so many threads; what has not begun is dropped at an error.

    Unlike a pool of multiprocessing's it needs no semaphore, which lies in /dev/shm.
    """

    def several(some: Sequence[T]) -> list[R]:
        return list(map(work, some))

    pool = ThreadPoolExecutor(max(threads, 1))
    chunks = (tasks[k : k + CHUNK] for k in range(0, len(tasks), CHUNK))
    try:
        for found in pool.map(several, chunks):
            yield from found
    finally:
        pool.shutdown(cancel_futures=True)
