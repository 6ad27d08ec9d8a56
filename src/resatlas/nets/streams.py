"""The maps of several streams: a tuple on their way through a network, one tensor side by side for whoever looks on.

A tuple saves the copies. A hook, a tracer or a caller from outside expects a tensor from every module, so that stages
and units take both and give what they took.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, cat, nn
from torch.fx import Proxy

from resatlas.arch.plan import Unit
from resatlas.arch.streams import Mixing, mixing

Maps = Float[Tensor, "n c h w"]
Made = Float[Tensor, "n d h2 w2"]
"""What a module makes of maps."""

Streams = tuple[Tensor, ...]
"""The maps of each stream between two units."""

Begins = Literal["shared", "apart"]
"""What one tensor is to several streams: the maps that all of them start from, or theirs side by side."""


class Ends(NamedTuple):
    """How many streams a module takes, what one tensor is to these, and how many it gives."""

    takes: int = 1
    begins: Begins = "apart"
    gives: int = 1


class OfStreams(nn.Module):
    """maps -> maps, of one stream or several: a tuple of streams as a tuple, one tensor as one tensor.

    A subclass says its `ends`, and `through` is what it does.
    """

    @property
    def ends(self) -> Ends:
        """The streams that it takes and gives."""
        raise NotImplementedError

    def forward(self, maps: Maps | tuple[Maps, ...]) -> Made | tuple[Made, ...]:
        """The streams after the module, in the form in which they came."""
        if isinstance(maps, tuple):
            return self.through(maps)
        takes, begins, _ = self.ends
        return side_by_side(self.through((maps,) * takes if begins == "shared" else apart(maps, takes)))

    def through(self, streams: Streams) -> Streams:
        """The streams after the module."""
        raise NotImplementedError


def side_by_side(streams: Streams) -> Float[Tensor, "n c h w"]:
    """All streams as one tensor."""
    return cat(streams, dim=1) if len(streams) > 1 else streams[0]


def apart(maps: Tensor, count: int) -> Streams:
    """Streams that stand side by side, each in memory of its own."""
    if count == 1:
        return (maps,)
    parts = maps.chunk(count, dim=1)
    return tuple(parts[k].clone() for k in range(count))


def advanced(module: nn.Module, streams: Streams) -> Streams:
    """The streams after a unit, or after several in a row: to whoever looks on, and of one stream, one tensor."""
    if len(streams) == 1 or not isinstance(module, OfStreams):
        return (module(*streams),)
    _, begins, gives = module.ends
    moved = begins == "shared" and any(each is not streams[0] for each in streams)  # a unit in another's place
    if moved or not looked_at(module, streams[0]):
        return module(streams)
    return apart(module(streams[0] if begins == "shared" else side_by_side(streams)), gives)


def looked_at(module: nn.Module, maps: object) -> bool:
    """Whether someone sees what a module takes or gives: a hook of its own, or a tracer of torch.fx."""
    own = vars(module)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return isinstance(maps, Proxy) or any(own[each] for each in hooks)


def left_to_mix(unit: Unit) -> Mixing:
    """What is added to the bodies of a unit, of the shortcuts behind its projector, if it has one.

    A projector has done all but the mean of a merge. Where everything is summed, the shortcuts themselves are: each
    column of the matrix adds up to 1.
    """
    projected = unit.mixing.channels == "projected" and unit.join != "merge"
    return mixing("identity", len(unit.streams)) if projected or unit.join == "sum" else unit.added


def combined(row: Sequence[int], over: int, tensors: Sequence[Tensor]) -> Tensor:
    """(row_1·x_1 + … + row_K·x_K) / over; a single x_j is itself, not a copy."""
    total = added([x if share == 1 else share * x for share, x in zip(row, tensors, strict=True) if share])
    return total if over == 1 else total / over


def mixed(
    matrix: Mixing,
    tensors: Sequence[Tensor],
    combine: Callable[[Sequence[int], int, Sequence[Tensor]], Tensor] = combined,
) -> list[Tensor]:
    """M·(x_1, …, x_K), a tensor a row; equal rows are one tensor, computed once."""
    made = {row: combine(row, matrix.over, tensors) for row in dict.fromkeys(matrix.rows)}
    return [made[row] for row in matrix.rows]


def added(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape; of one, itself."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
