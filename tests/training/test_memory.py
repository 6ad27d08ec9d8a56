"""Blocks that are freed and asked for again cost the system nothing while memory is kept."""

import resource
import sys

import pytest
import torch

from resatlas.training.memory import memory_kept


def cleared() -> int:
    """How often the system hands out a clear page while 64 MiB are filled and freed, again and again."""
    counts: list[int] = []
    for _ in range(20):
        torch.ones(2**24)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return counts[-1] - counts[-11]  # the first blocks may meet others that are in their way


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept by glibc")
def test_the_same_pages_serve_again() -> None:
    """Within, next to none is handed out anew; before and after, all of them each time."""
    before = cleared()
    with memory_kept():
        within = cleared()
    assert min(before, cleared()) > 8 * within
