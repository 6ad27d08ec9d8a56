"""Containers for stages, units, stems and heads, whose children have the plan's paths."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

from jaxtyping import Float
from torch import Tensor, nn

from resatlas.nets.layers import GlobalPool2d
from resatlas.nets.peak import Kept
from resatlas.nets.recomputing import run_units
from resatlas.nets.streams import Interface, Maps, Streams, StreamsModule, added, side_by_side, split


class Row(StreamsModule, nn.Sequential):  # type: ignore[misc] - other tools expect a Sequential; its units take tuples
    """maps -> last(…(first(maps))): the units of a stage, or the stages of a network.

    `kept` says which maps a training stores for its backward pass: see `nets.peak.Kept`.

    Shape: (n, c, h, w) -> (n, d, h2, w2), several streams concatenated; or a tuple of streams -> a tuple of streams.
    """

    kept: Kept = "all"

    @property
    def interface(self) -> Interface:
        """The input of the first module, and the output of the last."""
        first, last = _interface(self[0]), _interface(self[-1])
        return Interface(first.inputs, first.form, last.outputs)

    def run_streams(self, streams: Streams) -> Streams:
        """The streams after the last module."""
        return run_units(list(self), streams, kept=self.kept)


class Stems(nn.ModuleList):
    """images -> stem(images) for each stream, concatenated along the channels.

    Shape: (n, channels, height, width) -> (n, K·c, h, w).
    """

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """The outputs of all stems."""
        return side_by_side(tuple(stem(images) for stem in self))


class Heads(nn.ModuleList):
    """streams -> the mean of the logits of each head for its stream.

    Shape: (n, K·c, h, w), or a tuple of K maps, -> (n, classes).
    """

    def forward(self, maps: Maps | tuple[Maps, ...]) -> Float[Tensor, "n k"]:
        """One logit per class."""
        return logits(list(self), maps if isinstance(maps, tuple) else split(maps, len(self)))


class BeforePool(nn.ModuleList):
    """maps -> the maps that the global pool of each head reads, of all heads concatenated along the channels.

    Shape: (n, K·c, h, w) -> (n, K·c, h, w).
    """

    def forward(self, maps: Maps) -> Maps:
        """The maps after the norm and the relu with which a head may begin."""
        streams = split(maps, len(self))
        return side_by_side(tuple(begin(stream) for begin, stream in zip(self, streams, strict=True)))


def before_pool(heads: Sequence[nn.Sequential]) -> BeforePool:
    """The layers of each head before its global pool, with the same weights as the heads."""
    return BeforePool(
        nn.Sequential(OrderedDict(takewhile(lambda item: not isinstance(item[1], GlobalPool2d), head.named_children())))
        for head in heads
    )


def logits(heads: Sequence[nn.Module], streams: Streams) -> Float[Tensor, "n k"]:
    """The logits of one head for all streams; of several heads, the mean of their logits, each for its own stream."""
    if len(heads) == 1:
        return heads[0](side_by_side(streams))
    outputs = [head(maps) for head, maps in zip(heads, streams, strict=True)]
    return added(outputs) / len(outputs)


def _interface(module: nn.Module) -> Interface:
    return module.interface if isinstance(module, StreamsModule) else Interface()
