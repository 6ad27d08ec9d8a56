"""A network taken apart: what stands before a unit, the units, what stands behind, and branches silenced or cut."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from resatlas.nets.network import Network
from resatlas.nets.row import logits
from resatlas.nets.streams import Streams, run_unit
from resatlas.nets.unit import StreamsUnit, Unit

UnitModule = Unit | StreamsUnit


def unit_modules(network: Network) -> dict[str, UnitModule]:
    """Every unit by its path, in order."""
    modules = dict(network.named_modules())
    found = {path: modules[path] for path, _ in network.plan.units}
    return {path: unit for path, unit in found.items() if isinstance(unit, Unit | StreamsUnit)}


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
        streams: Streams = maps.chunk(self.streams, dim=1)
        for unit in self.units:
            streams = run_unit(unit, streams)
        return logits(list(self.heads), streams)


@contextmanager
def put_out_as(modules: Iterable[nn.Module], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, modules put out what `change` makes of their output: zeros, or the same without a gradient."""
    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(partial(_changed, change)).remove)
        yield


def _changed(change: Callable[[Tensor], Tensor], _module: nn.Module, _given: object, out: Tensor) -> Tensor:
    return change(out)
