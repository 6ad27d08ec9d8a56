"""The one limit of the tests that something is done at once, whatever else the machine or the process has done."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time

SECONDS = 5
"""Much more than a slow machine needs for a refusal, much less than the work that a refusal avoids."""


@contextmanager
def at_once(seconds: float = SECONDS) -> Iterator[None]:
    """Assert that the block takes at most so many seconds.

    They are seconds in which this thread computes, without garbage collection: its time is that of all objects of
    earlier tests. Other threads and other programs do not count.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        start = thread_time()
        yield
        taken = thread_time() - start
    finally:
        if collected:
            gc.enable()
    assert taken < seconds
