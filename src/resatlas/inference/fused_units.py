"""Residual units for inference: the last call of a residual also adds the shortcut, in place if possible."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, cat

from resatlas.arch.streams import Mixing
from resatlas.inference.folding import Then
from resatlas.inference.fused import Call, Calls, Computed, LastCall, Reuse, after, run
from resatlas.nets.streams import Streams, added, combined, mixed


@dataclass(frozen=True, eq=False, slots=True)
class Residual:
    """A residual as a sum of terms, each computed except for its last call, which can also add another tensor."""

    inputs: tuple[Tensor, ...]
    lasts: tuple[LastCall, ...]

    def alone(self) -> Tensor:
        """The residual itself."""
        total = self.lasts[0](self.inputs[0])
        for last, x in zip(self.lasts[1:], self.inputs[1:], strict=True):
            total = last.added(x, total, then="nothing", reuse="overwrite")
        return total

    def added(self, other: Tensor, *, then: Then, reuse: Reuse) -> Tensor:
        """then(residual + other)."""
        if any(x is other for x in self.inputs):
            reuse = "keep"
        for last, x in zip(self.lasts[:-1], self.inputs[:-1], strict=True):
            other = last.added(x, other, then="nothing", reuse=reuse)
            reuse = "overwrite"
        return self.lasts[-1].added(self.inputs[-1], other, then=then, reuse=reuse)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stream:
    """x -> (residual, shortcut or None), as `nets.unit.Unit.divide`."""

    first: Calls
    leads: tuple[Calls, ...]
    lasts: tuple[LastCall, ...]
    shortcut: Calls | None
    reads: Literal["input", "pre-activated"]
    gate: Calls
    gated: Literal["both", "shortcut"]

    def divide(self, x: Tensor) -> tuple[Residual, Tensor | None]:
        """The residual and the shortcut of x, gated but not yet added."""
        activated = run(self.first, x)
        residual = Residual(tuple(run(lead, activated) for lead in self.leads), self.lasts)
        if self.shortcut is None:
            return residual, None
        shortcut = run(self.shortcut, activated if self.reads == "pre-activated" else x)
        if not self.gate:
            return residual, shortcut
        gate, alone = run(self.gate, shortcut), residual.alone()
        return Residual((gate * alone if self.gated == "both" else alone,), (Computed(),)), (1 - gate) * shortcut


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedUnit:
    """A unit of one stream, as `nets.unit.Unit`."""

    stream: Stream
    then: Then
    after_sum: Calls

    def __call__(self, streams: Streams) -> Streams:
        """The stream after the unit."""
        residual, shortcut = self.stream.divide(*streams)
        if shortcut is None:
            total = after(residual.alone(), self.then)
        else:
            total = residual.added(shortcut, then=self.then, reuse="overwrite")
        return (run(self.after_sum, total),)


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedStreamsUnit:
    """A unit of several streams, as `nets.unit.StreamsUnit`; `after_sum` has one chain per output."""

    streams: tuple[Stream, ...]
    mixing: Mixing
    joined: bool
    projector: Call | None
    then: Then
    after_sum: tuple[Calls, ...]

    def __call__(self, streams: Streams) -> Streams:
        """The streams after the unit, or the one stream that they are joined to."""
        divided = [stream.divide(x) for stream, x in zip(self.streams, streams, strict=True)]
        residuals = [residual for residual, _ in divided]
        shortcuts = [shortcut for _, shortcut in divided if shortcut is not None]
        if self.projector is not None and shortcuts:
            shortcuts = list(self.projector(cat(shortcuts, dim=1)).chunk(len(shortcuts), dim=1))
        others = mixed(self.mixing, shortcuts, _combined) if shortcuts else []
        if self.joined:
            sums = [self._joined(residuals, others)]
        elif others:
            sums = self._sums(residuals, others)
        else:
            sums = [after(residual.alone(), self.then) for residual in residuals]
        return tuple(run(calls, total) for calls, total in zip(self.after_sum, sums, strict=True))

    def _sums(self, residuals: Sequence[Residual], others: Sequence[Tensor]) -> list[Tensor]:
        """The sum of each stream; a mixed shortcut that several streams share is overwritten by its last reader."""
        rows = self.mixing.rows
        last = [sum(map(bool, row)) > 1 and row not in rows[k + 1 :] for k, row in enumerate(rows)]
        return [
            residual.added(other, then=self.then, reuse="overwrite" if is_last else "keep")
            for residual, other, is_last in zip(residuals, others, last, strict=True)
        ]

    def _joined(self, residuals: Sequence[Residual], shortcuts: Sequence[Tensor]) -> Tensor:
        """The sum of all residuals and shortcuts."""
        reuse: Reuse = "keep"
        if shortcuts:
            total, terms = added(shortcuts), residuals
        else:
            total, terms, reuse = residuals[0].alone(), residuals[1:], "overwrite"
        for term in terms:
            total = term.added(total, then=self.then if term is terms[-1] else "nothing", reuse=reuse)
            reuse = "overwrite"
        return total if terms else after(total, self.then)


def _combined(row: Sequence[int], over: int, tensors: Sequence[Tensor]) -> Tensor:
    """As `nets.streams.combined`, with one call for the mean of two."""
    return torch.lerp(tensors[0], tensors[1], 0.5) if (*row, over) == (1, 1, 2) else combined(row, over, tensors)
