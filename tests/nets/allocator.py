"""The memory that torch's allocator gives out."""

from collections.abc import Callable

import torch
from torch import nn


def allocated(module: nn.Module, passes: Callable[[], object]) -> int:
    """The most bytes that some passes had at once, beside those before them, without gradients of earlier passes."""
    passes()
    for weight in module.parameters():
        weight.grad = None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        passes()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()  # type: ignore[missing-attribute] - the stubs of torch lack it
        most = max(most, live)
    return most
