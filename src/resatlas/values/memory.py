"""Detect errors that mean a lack of memory: Python's, NumPy's, the system's, or torch's on a CPU or a GPU.

Only this module knows torch's messages. It does not import torch.
"""

import errno
import re

_GPU = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_TORCH = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    *_GPU,
)
"""Messages of the RuntimeError that torch raises for its CPU allocator and for GPU libraries.

Source: c10/core/impl/alloc_cpu.cpp, c10/cuda/CUDAException.cpp, aten/src/ATen/cuda/CUDABlas.cpp of torch 2.14.
"""

_LOADER = ("failed to map segment from shared object", "Cannot allocate memory")
"""Messages of an ImportError caused by a lack of memory. Source: dlopen of glibc."""

_SIZE = re.compile(r"allocate ([\d.]+) ?(bytes|[KMGT]iB)", re.IGNORECASE)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means a lack of memory of the machine or its GPU."""
    match error:
        case MemoryError():
            return True
        case OSError():
            return error.errno == errno.ENOMEM
        case ImportError():
            return any(words in str(error) for words in _LOADER)
        case RuntimeError():
            return type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in _TORCH)
        case _:
            return False


def on_gpu(error: BaseException) -> bool:
    """Whether the error means a lack of GPU memory."""
    return type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in _GPU)


def requested(error: BaseException) -> str:
    """The size of the failed allocation, such as "2.00 GiB"; empty if the error does not contain it."""
    size = _SIZE.search(str(error))
    if not size:
        return ""
    number, unit = size.groups()
    return f"{number} {unit}" if unit.lower() != "bytes" else f"{float(number) / 2**20:,.0f} MiB"
