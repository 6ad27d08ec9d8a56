"""The rival of a design: the same network of a peer, or networks of ours with the same computation."""

from dataclasses import dataclass

from resatlas.bench.peers import PeerNet, check_installed, peer_of
from resatlas.designs import catalog as designs
from resatlas.designs.dmrnet import DmrNet
from resatlas.errors import UsageError

PEER = "pytorchcv"
"""The default library to compare with."""


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Networks of ours that take one step each, one after another, for a design that no library has."""

    designs: tuple[str, ...]

    def __str__(self) -> str:
        return " and ".join(self.designs)


@dataclass(frozen=True, kw_only=True)
class NoRival:
    """No rival, and the reason."""

    why: str

    def __str__(self) -> str:
        return "–"


Rival = PeerNet | Twins | NoRival


def rival_of(design: str, against: str | None) -> Rival:
    """The rival of a design; NoRival if the default library is not installed or lacks the network.

    Raises: UsageError if the caller named a library that is not installed or lacks the network.
    """
    if twins := _twins_of(design):
        return twins
    try:
        check_installed(against or PEER)
        return peer_of(against or PEER, design)
    except UsageError as error:
        if against:
            raise
        return NoRival(why=str(error))


def _twins_of(design: str) -> Twins | None:
    """For a CIFAR DMRNet, one ResNet per stream with the same convolutions, unconnected; None for other designs."""
    entry = designs.resolve(design)
    if not isinstance(entry.design, DmrNet) or entry.design.version != "cifar":
        return None
    wide = f":widen={entry.design.widen}" if entry.design.widen > 1 else ""
    return Twins(designs=(f"resnet-{entry.design.depth}-B{wide}",) * entry.design.streams)
