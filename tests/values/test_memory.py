"""Errors that mean a lack of memory are recognised from any source."""

import errno

import numpy as np
import pytest
import torch

from resatlas.values.memory import out_of_memory, requested

SHORT = (
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("std::bad_alloc"),
)


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_a_lack_of_memory_is_recognised(error: Exception) -> None:
    """Errors of Python, of the system and of torch."""
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), OSError(errno.ENOSPC, "No space"), ImportError("no torch"), KeyError("x")]
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    """A full disk is not a lack of memory."""
    assert not out_of_memory(error)


def test_what_torch_and_numpy_really_raise_is_recognised() -> None:
    """An array of 2 EiB, which no machine has; torch raises a plain RuntimeError on a CPU."""
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(2**58, dtype=torch.float64)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**58)
    assert out_of_memory(of_torch.value)
    assert out_of_memory(of_numpy.value)
    assert requested(of_torch.value) == "2,199,023,255,552 MiB"


def test_the_size_that_was_asked_for_is_read() -> None:
    """In the unit that torch gives it in; nothing where it says none."""
    assert requested(SHORT[3]) == "2.00 GiB"
    assert requested(MemoryError()) == ""
