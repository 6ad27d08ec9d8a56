"""Where the time of a training step goes: the operations of torch's profiler by what they are for."""

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
"""Groups with parts of the names of their operations; the first group that fits has an operation. The rest is `other`.

`between` is what Python, autograd and the loop take around the operations, waiting for other processes included.
"""

OTHER = "other"


class Operation(NamedTuple):
    """An operation of those steps: its name, how often it was called, and the seconds in it and in nothing below it."""

    name: str
    calls: int
    seconds: float


def operations(step: Callable[[], object]) -> list[Operation]:
    """All operations of some steps in this process."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would tell standard error that it finds no GPU
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(STEPS):
            with record_function(STEP):
                step()
    return [Operation(each.key, each.count, each.self_cpu_time_total / 1e6) for each in found.key_averages()]


def shares(found: Sequence[Operation]) -> dict[str, float]:
    """The percentage of the time in each group."""
    total = sum(each.seconds for each in found)
    seconds = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for each in found:
        seconds[group_of(each.name)] += each.seconds
    return {name: 100 * spent / total for name, spent in seconds.items()}


def group_of(operation: str) -> str:
    """The group of an operation by its name."""
    if operation.startswith("autograd::engine"):
        return "between"
    return next((group for group, parts in GROUPS.items() if any(part in operation for part in parts)), OTHER)
