"""The stages of a network, the units of a stage, its stems and heads: modules whose children have the plan's paths."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from resatlas.nets.recomputing import Kept, through
from resatlas.nets.streams import Ends, Maps, OfStreams, Streams, added, apart, side_by_side


class Row(OfStreams, nn.Sequential):  # type: ignore[misc] - tools look into a Sequential, whose units take tuples
    """maps -> last(…(first(maps))): the units of a stage, or the stages of a network.

    `kept` is what a training keeps for its backward pass of the maps between them: see `nets.recomputing`.

    Shape: (n, c, h, w) -> (n, d, h2, w2), several streams side by side; or a tuple of streams -> a tuple of streams.
    """

    kept: Kept = "all"

    @property
    def ends(self) -> Ends:
        """Those of the first, and of the last."""
        first, last = _ends(self[0]), _ends(self[-1])
        return Ends(first.takes, first.begins, last.gives)

    def through(self, streams: Streams) -> Streams:
        """The streams after the last."""
        return through(list(self), streams, kept=self.kept)


class Stems(nn.ModuleList):
    """images -> stem(images) for each stream, side by side.

    Shape: (n, channels, height, width) -> (n, K·c, h, w).
    """

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """What begins each stream."""
        return side_by_side(tuple(stem(images) for stem in self))


class Heads(nn.ModuleList):
    """streams -> the mean of what each head makes of its own.

    Shape: (n, K·c, h, w), or a tuple of K maps, -> (n, classes).
    """

    def forward(self, maps: Maps | tuple[Maps, ...]) -> Float[Tensor, "n k"]:
        """One logit a class."""
        return logits(list(self), maps if isinstance(maps, tuple) else apart(maps, len(self)))


def logits(heads: Sequence[nn.Module], streams: Streams) -> Float[Tensor, "n k"]:
    """What one head makes of all streams side by side; of several, the mean of what each makes of its own."""
    if len(heads) == 1:
        return heads[0](side_by_side(streams))
    given = [head(maps) for head, maps in zip(heads, streams, strict=True)]
    return added(given) / len(given)


def _ends(module: nn.Module) -> Ends:
    return module.ends if isinstance(module, OfStreams) else Ends()
