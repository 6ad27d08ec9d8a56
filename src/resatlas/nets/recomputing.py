"""Recomputation of maps in the backward pass instead of storing them: the same bits in less memory."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import isqrt
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from resatlas.nets.peak import Kept
from resatlas.nets.streams import Streams, run_unit


def run_units(units: Sequence[nn.Module], streams: Streams, *, kept: Kept) -> Streams:
    """The streams after the units of a stage.

    Gradients, random numbers and running statistics do not depend on `kept`. Recomputation costs a second forward pass,
    with "convolutions" one without convolutions.
    Source: Chen et al. (arXiv:1604.06174), section 4: segments of sqrt(n) layers.
    """
    match kept:
        case "all" | "convolutions":  # the latter in each unit, by `run_layers`
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


def run_layers(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """The output of layers one after another; the backward pass recomputes what norms and relus make for convolutions.

    A norm stores its input for its own gradient, from which its output and that of the relu after it follow: of norm,
    relu and convolution one map is stored instead of two.
    """
    waiting: list[nn.Module] = []
    for layer in layers:
        waiting.append(layer)
        if isinstance(layer, nn.Conv2d):
            x = _recomputing(waiting, x)
            waiting = []
    return _run_layers(waiting, x)


def _recomputing(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """The output of layers that end with a convolution, which the recomputation does not reach."""
    if not torch.is_grad_enabled() or not any(isinstance(layer, _NORMS) for layer in layers):
        return _run_layers(layers, x)
    return checkpoint(partial(_run_layers, layers), x, use_reentrant=False, context_fn=partial(_contexts, layers))


_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def _run_layers(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _run_all(units: Sequence[nn.Module], *streams: Tensor) -> Streams:
    for unit in units:
        streams = run_unit(unit, streams)
    return streams


def _contexts(modules: Sequence[nn.Module]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The contexts of the first and of the second pass."""
    return nullcontext(), _statistics_restored(modules)


@contextmanager
def _statistics_restored(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Restore the running statistics after a pass, since a batch must count once."""
    buffers = [buffer for module in modules for buffer in module.buffers()]
    copies = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, copy in zip(buffers, copies, strict=True):
            buffer.data.copy_(copy)  # .data, so that autograd does not report a stored tensor as changed in place
