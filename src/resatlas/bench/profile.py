"""A profile of a training step: the operations of torch's profiler in groups."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch.profiler import ProfilerActivity, profile, record_function

STEP = "step of the profile"

STEPS = 3

GROUPS: Mapping[str, tuple[str, ...]] = {
    "convolution": ("conv", "addmm", "linear", "aten::mm"),
    "exchange": ("c10d", "gloo", "all_reduce", "allreduce", "DistributedDataParallel", "Reducer"),
    "optimizer": ("_fused_sgd", "Optimizer", "linalg_vector_norm", "_foreach_norm"),
    "normalisation": ("batch_norm", "native_norm"),
    "activation": ("relu", "threshold", "clamp"),
    "copies": ("copy_", "clone", "contiguous", "aten::to", "_to_copy", "aten::cat", "pad", "slice", "zero_", "fill_"),
    "sums": ("aten::add", "aten::sum", "aten::mean"),
    "between": (STEP, "autograd::engine", "Backward", "torch::autograd"),
}
"""Groups and parts of the names of their operations; the first group that matches counts. The rest is `other`.

`between` is the time of Python, autograd and the loop around the operations, including waits for other processes.
"""

OTHER = "other"


class Operation(NamedTuple):
    """An operation of the profiled steps: name, number of calls, and seconds without nested operations."""

    name: str
    calls: int
    seconds: float


def operations(step: Callable[[], object]) -> list[Operation]:
    """All operations of some steps in this process."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences a message of torch's profiler about a missing GPU
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            with record_function(STEP):
                step()
    return [Operation(event.key, event.count, event.self_cpu_time_total / 1e6) for event in profiler.key_averages()]


def shares(operations: Sequence[Operation]) -> dict[str, float]:
    """The percentage of the time in each group."""
    total = sum(operation.seconds for operation in operations)
    seconds = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for operation in operations:
        seconds[_group_of(operation.name)] += operation.seconds
    return {name: 100 * spent / total for name, spent in seconds.items()}


def _group_of(operation: str) -> str:
    """The group of an operation by its name."""
    if operation.startswith("autograd::engine"):
        return "between"
    return next((group for group, parts in GROUPS.items() if any(part in operation for part in parts)), OTHER)
