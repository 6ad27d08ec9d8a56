"""Whether an error means that memory ran out: Python's, NumPy's, the system's, or torch's on a CPU or a GPU.

This is the only place that knows how torch words it. Torch itself is not needed here.
"""

import errno
import re

GPU = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
TORCH = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    *GPU,
)
"""Messages of the plain RuntimeError that torch raises for its CPU allocator and for libraries of the GPU.

Source: c10/core/impl/alloc_cpu.cpp, c10/cuda/CUDAException.cpp, aten/src/ATen/cuda/CUDABlas.cpp of torch 2.14.
"""

LOADER = ("failed to map segment from shared object", "Cannot allocate memory")
"""Messages of an ImportError for which there was no memory. Source: dlopen of glibc."""

SIZE = re.compile(r"allocate ([\d.]+) ?(bytes|[KMGT]iB)", re.IGNORECASE)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that there was too little memory, on the machine or on its GPU."""
    match error:
        case MemoryError():
            return True
        case OSError():
            return error.errno == errno.ENOMEM
        case ImportError():
            return any(words in str(error) for words in LOADER)
        case RuntimeError():
            return type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in TORCH)
        case _:
            return False


def on_gpu(error: BaseException) -> bool:
    """Whether it was a GPU's memory that ran out."""
    return type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in GPU)


def requested(error: BaseException) -> str:
    """How much memory was asked for when there was none, as in "2.00 GiB"; empty where the error does not say."""
    found = SIZE.search(str(error))
    if not found:
        return ""
    number, unit = found.groups()
    return f"{number} {unit}" if unit.lower() != "bytes" else f"{float(number) / 2**20:,.0f} MiB"
