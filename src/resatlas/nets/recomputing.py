"""Recomputation of maps in the backward pass instead of storing them: the same bits in less memory."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import isqrt
from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from resatlas.nets.streams import Streams, run_unit

Kept = Literal["all", "units", "segments"]
"""Which maps a forward pass stores: all, those between units, or those between segments of about sqrt(n) units."""


def run_units(units: Sequence[nn.Module], streams: Streams, *, kept: Kept) -> Streams:
    """The streams after the units of a stage.

    Gradients, random numbers and running statistics do not depend on `kept`. Recomputation costs a second forward pass.
    Source: Chen et al. (arXiv:1604.06174), section 4: segments of sqrt(n) layers.
    """
    match kept:
        case "all":
            return _run_all(units, *streams)
        case "units":
            size = 1
        case "segments":
            size = isqrt(len(units))
        case _:
            assert_never(kept)
    if not torch.is_grad_enabled():
        return _run_all(units, *streams)
    for begin in range(0, len(units), size):
        segment = units[begin : begin + size]
        streams = checkpoint(
            partial(_run_all, segment), *streams, use_reentrant=False, context_fn=partial(_contexts, segment)
        )
    return streams


def _run_all(units: Sequence[nn.Module], *streams: Tensor) -> Streams:
    for unit in units:
        streams = run_unit(unit, streams)
    return streams


def _contexts(units: Sequence[nn.Module]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The contexts of the first and of the second pass."""
    return nullcontext(), _statistics_restored(units)


@contextmanager
def _statistics_restored(units: Sequence[nn.Module]) -> Iterator[None]:
    """Restore the running statistics after a pass, since a batch must count once."""
    buffers = [buffer for unit in units for buffer in unit.buffers()]
    copies = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, copy in zip(buffers, copies, strict=True):
            buffer.data.copy_(copy)  # .data, so that autograd does not report a stored tensor as changed in place
