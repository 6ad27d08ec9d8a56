"""The maps of several streams, as a tuple of tensors or as one tensor with the streams concatenated along the channels.

Inside a network streams are passed as a tuple, which saves copies. Hooks, tracers and other callers expect one tensor
from every module. Stages and units therefore accept both, and return the same form.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, cat, nn
from torch.fx import Proxy

from resatlas.arch.streams import Mixing

Maps = Float[Tensor, "n c h w"]
OutputMaps = Float[Tensor, "n d h2 w2"]
"""The output of a module."""

Streams = tuple[Tensor, ...]
"""The maps of each stream between two units."""

InputForm = Literal["shared", "concatenated"]
"""The meaning of one tensor for several streams: the common input of all, or the concatenated inputs."""


class Interface(NamedTuple):
    """The number of input streams of a module, the meaning of one input tensor, and the number of output streams."""

    inputs: int = 1
    form: InputForm = "concatenated"
    outputs: int = 1


class StreamsModule(nn.Module):
    """maps -> maps for one stream or several: a tuple of streams -> a tuple, one tensor -> one tensor.

    A subclass defines `interface` and `run_streams`.
    """

    @property
    def interface(self) -> Interface:
        """The input and output streams."""
        raise NotImplementedError

    def forward(self, maps: Maps | tuple[Maps, ...]) -> OutputMaps | tuple[OutputMaps, ...]:
        """The streams after the module, in the form of the input."""
        if isinstance(maps, tuple):
            return self.run_streams(maps)
        inputs, form, _ = self.interface
        return side_by_side(self.run_streams((maps,) * inputs if form == "shared" else split(maps, inputs)))

    def run_streams(self, streams: Streams) -> Streams:
        """The streams after the module."""
        raise NotImplementedError


def side_by_side(streams: Streams) -> Float[Tensor, "n c h w"]:
    """All streams as one tensor, concatenated along the channels."""
    return cat(streams, dim=1) if len(streams) > 1 else streams[0]


def split(maps: Tensor, count: int) -> Streams:
    """The streams of a concatenated tensor, as copies."""
    if count == 1:
        return (maps,)
    parts = maps.chunk(count, dim=1)
    return tuple(parts[k].clone() for k in range(count))


def run_unit(module: nn.Module, streams: Streams) -> Streams:
    """The streams after a unit or a sequence of units. The module is called with one tensor if it is observed."""
    if len(streams) == 1 or not isinstance(module, StreamsModule):
        return (module(*streams),)
    _, form, outputs = module.interface
    # the first unit at the place of a later one, as in an analysis: its streams have different inputs
    moved = form == "shared" and any(stream is not streams[0] for stream in streams)
    if moved or not is_observed(module, streams[0]):
        return module(streams)
    return split(module(streams[0] if form == "shared" else side_by_side(streams)), outputs)


def is_observed(module: nn.Module, maps: object) -> bool:
    """Whether hooks of the module or a tracer of torch.fx see its input or output."""
    own = vars(module)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return isinstance(maps, Proxy) or any(own[name] for name in hooks)


def combined(row: Sequence[int], over: int, tensors: Sequence[Tensor]) -> Tensor:
    """(row_1·x_1 + … + row_K·x_K) / over; a single x_j is returned without a copy."""
    total = added([x if share == 1 else share * x for share, x in zip(row, tensors, strict=True) if share])
    return total if over == 1 else total / over


def mixed(
    matrix: Mixing,
    tensors: Sequence[Tensor],
    combine: Callable[[Sequence[int], int, Sequence[Tensor]], Tensor] = combined,
) -> list[Tensor]:
    """M·(x_1, …, x_K), one tensor per row; equal rows are computed once and share one tensor."""
    combinations = {row: combine(row, matrix.over, tensors) for row in dict.fromkeys(matrix.rows)}
    return [combinations[row] for row in matrix.rows]


def added(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape; a single tensor is returned without a copy."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
