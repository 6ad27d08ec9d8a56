"""Trained weights of any source start a training; a classifier of other classes is drawn anew, and that is said."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import resatlas
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network, build
from resatlas.weights.conversion import save_weights
from resatlas.weights.initial_weights import Taken, start_from
from tests.training.small import different

DESIGN = "resnet-18:base=8"


def trained(classes: int = 7, design: str = DESIGN) -> Network:
    """A network with weights of its own."""
    return build(design, classes=classes, seed=5)


def exported(network: Network, source: str, file: Path) -> Path:
    """Its weights in a file, under the names of a source."""
    save_file({key: each.contiguous() for key, each in resatlas.export_weights(network, target=source).items()}, file)
    return file


def body(network: Network) -> dict[str, torch.Tensor]:
    """Everything but the classifier."""
    return {path: each for path, each in network.state_dict().items() if not path.startswith("head.linear")}


@pytest.mark.parametrize("source", ["resatlas", "torchvision", "pytorchcv"])
@pytest.mark.parametrize("classes", [3, 7])
def test_every_source_is_known_by_its_names(source: str, classes: int, tmp_path: Path) -> None:
    """All weights but those of a classifier for other classes are the file's, to the bit."""
    network, given = build(DESIGN, classes=classes, seed=1), trained()
    before = network.state_dict()["head.linear.weight"].clone()
    taken = start_from(network, exported(given, source, tmp_path / "weights.safetensors"))
    assert taken == Taken(source=source, classes=None if classes == 7 else 7)
    assert different(body(network), body(given)) == []
    kept = before if classes == 3 else given.state_dict()["head.linear.weight"]
    assert network.state_dict()["head.linear.weight"].equal(kept)


def test_a_file_of_torchvision_s_own_module_is_taken(tmp_path: Path) -> None:
    """As `torch.save(model.state_dict())` writes it, in the wrapper of a training program."""
    from torchvision.models import resnet18

    model = resnet18()
    torch.save({"state_dict": {f"module.{key}": each for key, each in model.state_dict().items()}}, tmp_path / "r.pth")
    network = build("resnet-18", classes=4, seed=0)
    assert start_from(network, tmp_path / "r.pth") == Taken(source="torchvision", classes=1000)
    assert network.state_dict()["stem.conv.weight"].equal(model.state_dict()["conv1.weight"])


def test_another_function_is_refused_with_its_name(tmp_path: Path) -> None:
    """Nothing of the network changes."""
    network = build("resnet-50:base=8", classes=3, seed=0)
    before = {path: each.clone() for path, each in network.state_dict().items()}
    given = trained(design="resnet-50-v1.5:base=8")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors, as torchvision names it: .*stride on the 3x3"):
        start_from(network, exported(given, "torchvision", tmp_path / "weights.safetensors"))
    assert different(network.state_dict(), before) == []


def test_separate_classifiers_are_all_drawn_anew(tmp_path: Path) -> None:
    """Each stream of a DMRNet with its own classifier gets a new one."""
    design = "dmrnet-8-identity-separate:base=2"
    given, network = trained(design=design), build(design, classes=3, seed=1)
    file = tmp_path / "weights.safetensors"
    save_weights(given, file)
    before = {p: each.clone() for p, each in network.state_dict().items() if each.shape[:1] == (3,) and "head" in p}
    assert len(before) == 4
    assert start_from(network, file) == Taken(source="resatlas", classes=7)
    assert all(network.state_dict()[path].equal(each) for path, each in before.items())
    heads = {path.rpartition(".")[0] for path in before}
    for path, each in network.state_dict().items():
        if path.rpartition(".")[0] not in heads:
            assert each.equal(given.state_dict()[path])


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"not weights"])
def test_what_holds_no_weights_is_refused(content: bytes, tmp_path: Path) -> None:
    """One sentence with the file's name."""
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        start_from(build(DESIGN, classes=3, seed=0), file)


def test_names_of_nobody_are_told(tmp_path: Path) -> None:
    """Where no key is of a source that is known."""
    file = tmp_path / "weights.pth"
    torch.save(nn.Linear(3, 3).state_dict(), file)
    with pytest.raises(CheckpointError, match="has the names of none of torchvision, timm, pytorchcv, resatlas"):
        start_from(build(DESIGN, classes=3, seed=0), file)
