"""Parts of a network: its units, their streams and bodies, the part behind a unit, and hooks that change outputs."""

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
    units = {path: modules[path] for path, _ in network.plan.units}
    return {path: unit for path, unit in units.items() if isinstance(unit, Unit | StreamsUnit)}


def streams_of(unit: UnitModule) -> tuple[Unit, ...]:
    """The streams of a unit; a unit of one stream is its own stream."""
    if isinstance(unit, Unit):
        return (unit,)
    return tuple(stream for stream in unit.streams if isinstance(stream, Unit))


def bodies_of(stream: Unit) -> tuple[nn.Module, ...]:
    """The bodies of a stream, one or more."""
    return (stream.body,) if hasattr(stream, "body") else tuple(stream.bodies)


class Rest(nn.Module):
    """streams side by side -> units -> heads: the part of a network behind a unit, with any units in any order.

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
def changed_outputs(modules: Iterable[nn.Module], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within this context, the modules return `change(output)`: for example zeros, or the output without a gradient."""
    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(partial(_change_output, change)).remove)
        yield


def _change_output(change: Callable[[Tensor], Tensor], _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return change(output)
