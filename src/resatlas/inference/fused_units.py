"""Residual units of inference: the last call of a residual forms the sum, over a summand that is not read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, cat

from resatlas.arch.streams import Mixing
from resatlas.inference.folding import Then
from resatlas.inference.fused import Call, Calls, Ending, Formed, Other, after, run
from resatlas.nets.streams import Streams, added, combined, mixed


@dataclass(frozen=True, eq=False, slots=True)
class Residual:
    """A residual in terms, each formed up to its last call, which can add it to something."""

    given: tuple[Tensor, ...]
    lasts: tuple[Ending, ...]

    def alone(self) -> Tensor:
        """The residual."""
        total = self.lasts[0](self.given[0])
        for last, x in zip(self.lasts[1:], self.given[1:], strict=True):
            total = last.added(x, total, then="nothing", other_is="spent")
        return total

    def added(self, other: Tensor, *, then: Then, other_is: Other) -> Tensor:
        """then(residual + other)."""
        if any(x is other for x in self.given):
            other_is = "kept"
        for last, x in zip(self.lasts[:-1], self.given[:-1], strict=True):
            other = last.added(x, other, then="nothing", other_is=other_is)
            other_is = "spent"
        return self.lasts[-1].added(self.given[-1], other, then=then, other_is=other_is)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stream:
    """x -> its residual, and its shortcut, None where there is none: as `nets.unit.Unit.divide`."""

    first: Calls
    leads: tuple[Calls, ...]
    lasts: tuple[Ending, ...]
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
        return Residual((gate * alone if self.gated == "both" else alone,), (Formed(),)), (1 - gate) * shortcut


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedUnit:
    """The one stream, a unit further: as `nets.unit.Unit`."""

    stream: Stream
    then: Then
    after_sum: Calls

    def __call__(self, streams: Streams) -> Streams:
        """The stream after the unit."""
        residual, shortcut = self.stream.divide(*streams)
        if shortcut is None:
            total = after(residual.alone(), self.then)
        else:
            total = residual.added(shortcut, then=self.then, other_is="spent")
        return (run(self.after_sum, total),)


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedStreamsUnit:
    """All streams, a unit further: as `nets.unit.StreamsUnit`; `after_sum` once for each tensor that it gives."""

    streams: tuple[Stream, ...]
    mixing: Mixing
    joined: bool
    projector: Call | None
    then: Then
    after_sum: tuple[Calls, ...]

    def __call__(self, streams: Streams) -> Streams:
        """The streams after the unit, or the one that they are joined to."""
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
        """Of each stream, what it adds to its residual and the residual; the last reader of a sum writes over it."""
        rows = self.mixing.rows
        last = [sum(map(bool, row)) > 1 and row not in rows[k + 1 :] for k, row in enumerate(rows)]
        return [
            residual.added(other, then=self.then, other_is="spent" if spent else "kept")
            for residual, other, spent in zip(residuals, others, last, strict=True)
        ]

    def _joined(self, residuals: Sequence[Residual], shortcuts: Sequence[Tensor]) -> Tensor:
        """The sum of all, in one tensor."""
        total_is: Other = "kept"
        if shortcuts:
            total, terms = added(shortcuts), residuals
        else:
            total, terms, total_is = residuals[0].alone(), residuals[1:], "spent"
        for term in terms:
            total = term.added(total, then=self.then if term is terms[-1] else "nothing", other_is=total_is)
            total_is = "spent"
        return total if terms else after(total, self.then)


def _combined(row: Sequence[int], over: int, tensors: Sequence[Tensor]) -> Tensor:
    """As `nets.streams.combined`; the mean of two in one call."""
    return torch.lerp(tensors[0], tensors[1], 0.5) if (*row, over) == (1, 1, 2) else combined(row, over, tensors)
