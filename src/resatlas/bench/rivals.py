"""Who competes with a design: the same network of a peer, or networks of ours that do as much apart."""

from dataclasses import dataclass

from resatlas.bench.peers import PeerNet, check_installed, peer_of
from resatlas.designs import catalog as designs
from resatlas.designs.dmrnet import DmrNet
from resatlas.errors import UsageError

PEER = "pytorchcv"
"""Who competes unless the caller says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Networks of ours that take a step each, one after the other, where no library has the design."""

    designs: tuple[str, ...]

    def __str__(self) -> str:
        return " and ".join(self.designs)


@dataclass(frozen=True, kw_only=True)
class Nobody:
    """No rival, and the reason."""

    why: str

    def __str__(self) -> str:
        return "–"


Rival = PeerNet | Twins | Nobody


def rival_of(design: str, against: str | None) -> Rival:
    """Who competes with a design; ours are measured alone where the usual peer is not installed or lacks the network.

    Raises: UsageError if the peer is one that the caller has named.
    """
    if twins := twins_of(design):
        return twins
    try:
        check_installed(against or PEER)
        return peer_of(against or PEER, design)
    except UsageError as error:
        if against:
            raise
        return Nobody(why=str(error))


def twins_of(design: str) -> Twins | None:
    """For each stream of a CIFAR DMRNet a ResNet of its depth, width and projections: its convolutions, kept apart."""
    entry = designs.resolve(design)
    if not isinstance(entry.design, DmrNet) or entry.design.version != "cifar":
        return None
    wide = f":widen={entry.design.widen}" if entry.design.widen > 1 else ""
    return Twins(designs=(f"resnet-{entry.design.depth}-B{wide}",) * entry.design.streams)
