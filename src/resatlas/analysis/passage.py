"""A network taken apart: what stands before a unit, the units, what stands behind, and branches silenced or cut."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from jaxtyping import Float
from torch import Tensor, cat, nn

from resatlas.nets.network import Network
from resatlas.nets.unit import StreamsUnit, Unit, added

Streams = tuple[Tensor, ...]
UnitModule = Unit | StreamsUnit


def unit_modules(network: Network) -> dict[str, UnitModule]:
    """Every unit by its path, in order."""
    modules = dict(network.named_modules())
    found = {path: modules[path] for path, _ in network.plan.units}
    return {path: unit for path, unit in found.items() if isinstance(unit, Unit | StreamsUnit)}


def begun(network: Network, images: Float[Tensor, "n c h w"]) -> Streams:
    """What the first unit takes."""
    if network.plan.stems == 1:
        return (network.stem(images),) * len(network.plan.stages[0][0].streams)
    return tuple(stem(images) for stem in network.stems)


def heads(network: Network) -> tuple[nn.Module, ...]:
    """The one head, or the head of each stream."""
    return (network.head,) if network.plan.heads == 1 else tuple(network.heads)


def ended(network: Network, streams: Streams) -> Float[Tensor, "n k"]:
    """The logits of what the last unit gives."""
    return _logits(heads(network), streams)


def streams_of(unit: UnitModule) -> tuple[Unit, ...]:
    """The streams of a unit; a unit of one stream is its own."""
    if isinstance(unit, Unit):
        return (unit,)
    return tuple(each for each in unit.streams if isinstance(each, Unit))


def bodies_of(stream: Unit) -> tuple[nn.Module, ...]:
    """The bodies of a stream, one or more."""
    return (stream.body,) if hasattr(stream, "body") else tuple(stream.bodies)


class Rest(nn.Module):
    """streams side by side -> units -> heads: what remains of a network behind a place, with the units given to it.

    Shape: (n, streams · c, h, w) -> (n, classes).
    """

    def __init__(self, units: Iterable[nn.Module], heads: Iterable[nn.Module], *, streams: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.heads = nn.ModuleList(heads)
        self.streams = streams

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """One logit a class."""
        streams = maps.chunk(self.streams, dim=1)
        for unit in self.units:
            streams = unit(streams)
        return _logits(list(self.heads), streams)


def side_by_side(streams: Streams) -> Float[Tensor, "n c h w"]:
    """All streams as one tensor."""
    return cat(streams, dim=1) if len(streams) > 1 else streams[0]


@contextmanager
def put_out_as(modules: Iterable[nn.Module], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, modules put out what `change` makes of their output: zeros, or the same without a gradient."""
    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(partial(_changed, change)).remove)
        yield


def _changed(change: Callable[[Tensor], Tensor], _module: nn.Module, _given: object, out: Tensor) -> Tensor:
    return change(out)


def _logits(heads: Sequence[nn.Module], streams: Streams) -> Tensor:
    if len(heads) == 1:
        return heads[0](side_by_side(streams))
    given = [head(maps) for head, maps in zip(heads, streams, strict=True)]
    return added(given) / len(given)
