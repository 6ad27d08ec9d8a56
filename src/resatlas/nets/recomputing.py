"""Maps that a training does not keep for its backward pass but computes again, to the same bits, in less memory."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import isqrt
from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from resatlas.nets.streams import Streams, advanced

Kept = Literal["all", "units", "segments"]
"""What a forward pass keeps: every map, those between units, or those between runs of about sqrt(n) of a stage's n."""


def through(units: Sequence[nn.Module], streams: Streams, *, kept: Kept) -> Streams:
    """The streams after the units of a stage.

    Gradients, random draws and running statistics are those of a pass that keeps all; it costs a second forward pass.
    Source: Chen et al. (arXiv:1604.06174), section 4: segments of sqrt(n) layers.
    """
    match kept:
        case "all":
            return _passed(units, *streams)
        case "units":
            size = 1
        case "segments":
            size = isqrt(len(units))
        case _:
            assert_never(kept)
    if not torch.is_grad_enabled():
        return _passed(units, *streams)
    for begin in range(0, len(units), size):
        segment = units[begin : begin + size]
        streams = checkpoint(
            partial(_passed, segment), *streams, use_reentrant=False, context_fn=partial(_contexts, segment)
        )
    return streams


def _passed(units: Sequence[nn.Module], *streams: Tensor) -> Streams:
    for unit in units:
        streams = advanced(unit, streams)
    return streams


def _contexts(units: Sequence[nn.Module]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What surrounds the first pass, and what the second."""
    return nullcontext(), _unrecorded(units)


@contextmanager
def _unrecorded(units: Sequence[nn.Module]) -> Iterator[None]:
    """Take back what a pass adds to running statistics: a batch counts once."""
    values = [each for unit in units for each in unit.buffers()]
    before = [each.clone() for each in values]
    try:
        yield
    finally:
        for value, was in zip(values, before, strict=True):
            value.data.copy_(was)  # past the count by which autograd tells that a tensor it keeps was changed
