"""Residual units of one stream and of several."""

from typing import assert_never

from jaxtyping import Float
from torch import Tensor, cat, nn

from resatlas.arch import plan
from resatlas.nets.layers import chain

Maps = Float[Tensor, "n c h w"]
Made = Float[Tensor, "n d h2 w2"]
"""What a unit makes of maps: one shape for its residual, its shortcut and its sum."""


class Unit(nn.Module):
    """x -> after_sum(shortcut(x or first(x)) + merged(merge(body(first(x)), …))).

    It is also one stream of several, whose sum is then formed outside: see `divide`.

    Shape: (n, c, h, w) -> (n, width, h/stride, w/stride).
    """

    def __init__(self, stream: plan.Stream, after_sum: plan.Chain) -> None:
        super().__init__()
        self.merge = stream.merge
        self.reads = stream.reads
        self.first = chain(stream.first)
        if len(stream.bodies) == 1:
            self.body = chain(stream.bodies[0])
        else:
            self.bodies = nn.ModuleList(map(chain, stream.bodies))
        self.merged = chain(stream.merged)
        self.shortcut = None if stream.shortcut is None else chain(stream.shortcut)
        self.after_sum = chain(after_sum)

    def forward(self, streams: tuple[Maps, ...]) -> tuple[Made, ...]:
        """The one stream, a unit further."""
        residual, shortcut = self.divide(*streams)
        return (self.after_sum(residual if shortcut is None else residual + shortcut),)

    def divide(self, x: Maps) -> tuple[Made, Made | None]:
        """The residual and the shortcut of x, not yet added; None where there is no shortcut."""
        activated = self.first(x)
        residual = self.merged(self._bodies(activated))
        if self.shortcut is None:
            return residual, None
        return residual, self.shortcut(activated if self.reads == "pre-activated" else x)

    def _bodies(self, x: Maps) -> Made:
        if hasattr(self, "body"):
            return self.body(x)
        outputs = [body(x) for body in self.bodies]
        match self.merge:
            case "sum":
                return added(outputs)
            case "concat":
                return cat(outputs, dim=1)
            case _:
                assert_never(self.merge)


class MergeAndRunUnit(nn.Module):
    """(x_1, …, x_K) -> after_sum(H_k(x_k) + m) for each k, m the mean of the shortcuts; or joined to one tensor.

    Shape: K x (n, c, h, w) -> K x (n, width, h/stride, w/stride), or one such tensor from a joining unit.
    Source: DMRNet (arXiv:1611.07718), section 3; the joins are those of `arch.streams.Join`.
    """

    def __init__(self, unit: plan.Unit) -> None:
        super().__init__()
        self.join = unit.join
        self.streams = nn.ModuleList(Unit(stream, () if unit.joined else unit.after_sum) for stream in unit.streams)
        self.after_sum = chain(unit.after_sum if unit.joined else ())

    def forward(self, streams: tuple[Maps, ...]) -> tuple[Made, ...]:
        """All streams, a unit further."""
        units = [unit for unit in self.streams if isinstance(unit, Unit)]
        divided = [unit.divide(x) for unit, x in zip(units, streams, strict=True)]
        residuals = [residual for residual, _ in divided]
        shortcuts = [shortcut for _, shortcut in divided if shortcut is not None]
        sums = residuals
        match self.join:
            case None | "concat":
                if shortcuts:
                    mean = added(shortcuts) / len(shortcuts)
                    sums = [residual + mean for residual in residuals]
                return tuple(unit.after_sum(x) for unit, x in zip(units, sums, strict=True))
            case "merge":
                if shortcuts:
                    sums = [*residuals, added(shortcuts) / len(shortcuts)]
                return (self.after_sum(added(sums)),)
            case "sum":  # K times the mean is the sum
                return (self.after_sum(added([*residuals, *shortcuts])),)
            case _:
                assert_never(self.join)


def unit_module(unit: plan.Unit) -> Unit | MergeAndRunUnit:
    """The module of a unit, by how its shortcuts meet."""
    match unit.skip:
        case "own":
            return Unit(unit.streams[0], unit.after_sum)
        case "mean":
            return MergeAndRunUnit(unit)
        case _:
            assert_never(unit.skip)


def added(tensors: list[Tensor]) -> Tensor:
    """The sum of tensors of one shape; of one, itself."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
