"""torch.hub finds the networks of this repository without internet access."""

import socket
from pathlib import Path

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.exporting.loading import from_pretrained
from resatlas.nets.network import Network, build

ROOT = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a socket fails the test."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)


def load(*words: object, **more: object) -> Network:
    """The network that torch.hub loads."""
    network = torch.hub.load(ROOT, *words, source="local", **more)
    assert isinstance(network, Network)
    return network


def test_there_are_two_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.hub lists them, with their docstrings as help."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "owner_resatlas_main").symlink_to(ROOT)
    options = {"skip_validation": True, "trust_repo": True, "verbose": False}
    assert torch.hub.list("owner/resatlas:main", **options) == ["design", "pretrained"]
    for name in ("design", "pretrained"):
        text = torch.hub.help("owner/resatlas:main", name, skip_validation=True, trust_repo=True)
        assert "network" in (text or "")


def test_a_design_is_built() -> None:
    """The network is that of resatlas.build, for any images and classes."""
    network = load("design", "resnet-20", classes=3, image=(1, 8, 8), seed=2)
    own = build("resnet-20", classes=3, image=Shape(1, 8, 8), seed=2)
    assert network.plan == own.plan
    assert all(one.equal(other) for one, other in zip(network.parameters(), own.parameters(), strict=True))
    assert load("design", "resnet-20").plan.classes == 10


def test_a_saved_folder_is_loaded(kept: Path) -> None:
    """The network is that of resatlas.from_pretrained."""
    network, own = load("pretrained", str(kept)), from_pretrained(kept)
    assert not network.training
    assert all(one.equal(other) for one, other in zip(network.parameters(), own.parameters(), strict=True))


def test_there_are_no_published_weights() -> None:
    """The error suggests from_pretrained."""
    with pytest.raises(UsageError, match=r"no weights of resnet-20 are published yet; .*from_pretrained"):
        load("design", "resnet-20", pretrained=True)
