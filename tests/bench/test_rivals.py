"""The rival of a design."""

import sys

import pytest

from resatlas.arch.cost import cost
from resatlas.bench.benchmarks import NETS
from resatlas.bench.contest import plan_of
from resatlas.bench.peers import PeerNet
from resatlas.bench.rivals import NoRival, Twins, rival_of
from resatlas.errors import UsageError
from tests.oracles.peers import library


@pytest.mark.parametrize("design", [*NETS[:-1], "resnet-8-B", "wrn-10-1", "pyramidnet-110-a84", "resnext-20-16x4d"])
def test_a_peers_network_is_as_large_as_ours(design: str) -> None:
    """The number of parameters is equal, with the numbers of the name as arguments of the constructor."""
    library("pytorchcv")
    rival = rival_of(design, "pytorchcv")
    assert isinstance(rival, PeerNet)
    assert rival.parameters(10) == cost(plan_of(design)).parameters


def test_streams_compete_with_unconnected_networks() -> None:
    """DMRNet's twins compute nearly the same: one classifier and one stem more."""
    rival = rival_of("dmrnet-20", "pytorchcv")
    assert isinstance(rival, Twins)
    assert rival.designs == ("resnet-20-B", "resnet-20-B")
    ours, theirs = (
        sum(cost(plan_of(design)).multiply_adds for design in designs) for designs in (("dmrnet-20",), rival.designs)
    )
    assert 1 < theirs / ours < 1.01
    wide = rival_of("dmrnet-26-w2-k3", None)
    assert isinstance(wide, Twins)
    assert wide.designs == ("resnet-26-B:widen=2",) * 3


def test_a_design_that_no_peer_has() -> None:
    """A named peer is refused; without a name there is no rival, with the same reason."""
    library("pytorchcv")
    message = 'pytorchcv has no network "resnet-20"; it has resnet-N-B, preact-resnet-N, wrn-N-K'
    with pytest.raises(UsageError) as raised:
        rival_of("resnet-20", "pytorchcv")
    assert message in str(raised.value)
    assert rival_of("resnet-20", None) == NoRival(why=str(raised.value))


def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra to install, both in the refusal of a named peer and in the reason for no rival."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pytorchcv"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(UsageError, match=r"^pytorchcv is not installed: pip install resatlas\[oracles\]$") as refusal:
        rival_of("resnet-20-B", "pytorchcv")
    assert rival_of("resnet-20-B", None) == NoRival(why=str(refusal.value))
