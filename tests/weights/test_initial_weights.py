"""A training starts from weights of any source; a classifier for other classes is initialised anew, with a note."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import resatlas
from resatlas.arch.ops import Shape
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network, build
from resatlas.weights.conversion import save_weights
from resatlas.weights.initial_weights import LoadedWeights, start_from
from tests.training.small import different

DESIGN = "resnet-18:base=8"


def trained(classes: int = 7, design: str = DESIGN) -> Network:
    """A network that stands for a trained one."""
    return build(design, classes=classes, seed=5)


def exported(network: Network, source: str, file: Path) -> Path:
    """A file of the network's weights under the names of a source."""
    weights = resatlas.export_weights(network, target=source)
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, file)
    return file


def body(network: Network) -> dict[str, torch.Tensor]:
    """All tensors except those of the classifier."""
    return {path: tensor for path, tensor in network.state_dict().items() if not path.startswith("head.linear")}


@pytest.mark.parametrize("source", ["resatlas", "torchvision", "pytorchcv"])
@pytest.mark.parametrize("classes", [3, 7])
def test_every_source_is_recognised_by_its_names(source: str, classes: int, tmp_path: Path) -> None:
    """All weights equal those of the file, except a classifier for other classes."""
    network, source_network = build(DESIGN, classes=classes, seed=1), trained()
    before = network.state_dict()["head.linear.weight"].clone()
    loaded = start_from(network, exported(source_network, source, tmp_path / "weights.safetensors"))
    assert loaded == LoadedWeights(source=source, classes=None if classes == 7 else 7)
    assert different(body(network), body(source_network)) == []
    expected = before if classes == 3 else source_network.state_dict()["head.linear.weight"]
    assert network.state_dict()["head.linear.weight"].equal(expected)


@pytest.mark.parametrize("design", [DESIGN, "dmrnet-14", "resnet-50-D:base=8", "resnet-20"])
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (1, 4)])
def test_grey_images_and_coloured_ones(design: str, before: int, after: int, tmp_path: Path) -> None:
    """A network for images of other channels gives the same answers for images whose channels are equal."""
    theirs = build(design, image=Shape(before, 32, 32), classes=3, seed=5).double().eval()
    ours = build(design, image=Shape(after, 32, 32), classes=3, seed=1).double().eval()
    save_weights(theirs, tmp_path / "weights.safetensors")
    loaded = start_from(ours, tmp_path / "weights.safetensors")
    assert loaded.channels == before
    [words] = loaded.changes(ours.plan)
    assert words.startswith(f"its first convolution for images of {before} channel")
    grey = torch.randn((2, 1, 32, 32), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(grey.expand(-1, after, -1, -1)), theirs(grey.expand(-1, before, -1, -1)))


def test_other_channels_are_refused(tmp_path: Path) -> None:
    """Neither number is 1: no rule says which channel is which."""
    save_weights(build("resnet-20", image=Shape(3, 32, 32), seed=5), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r'"stem\.conv\.weight" is 16x3x3x3, here 16x4x3x3'):
        start_from(build("resnet-20", image=Shape(4, 32, 32), seed=1), tmp_path / "weights.safetensors")


def test_a_file_of_a_torchvision_module_loads(tmp_path: Path) -> None:
    """The file of `torch.save`, with the wrapper of a training program."""
    from torchvision.models import resnet18

    model = resnet18()
    weights = {f"module.{key}": tensor for key, tensor in model.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "r.pth")
    network = build("resnet-18", classes=4, seed=0)
    assert start_from(network, tmp_path / "r.pth") == LoadedWeights(source="torchvision", classes=1000)
    assert network.state_dict()["stem.conv.weight"].equal(model.state_dict()["conv1.weight"])


def test_another_function_is_refused_with_the_source(tmp_path: Path) -> None:
    """The network does not change."""
    network = build("resnet-50:base=8", classes=3, seed=0)
    before = {path: tensor.clone() for path, tensor in network.state_dict().items()}
    source_network = trained(design="resnet-50-v1.5:base=8")
    with pytest.raises(
        CheckpointError, match=r"weights\.safetensors, with the names of torchvision: .*stride on the 3x3"
    ):
        start_from(network, exported(source_network, "torchvision", tmp_path / "weights.safetensors"))
    assert different(network.state_dict(), before) == []


def test_separate_classifiers_are_all_initialised_anew(tmp_path: Path) -> None:
    """Each stream of a DMRNet with separate classifiers gets a new one."""
    design = "dmrnet-8-identity-separate:base=2"
    source_network, network = trained(design=design), build(design, classes=3, seed=1)
    file = tmp_path / "weights.safetensors"
    save_weights(source_network, file)
    state = network.state_dict()
    before = {path: tensor.clone() for path, tensor in state.items() if tensor.shape[:1] == (3,) and "head" in path}
    assert len(before) == 4
    assert start_from(network, file) == LoadedWeights(source="resatlas", classes=7)
    assert all(network.state_dict()[path].equal(tensor) for path, tensor in before.items())
    heads = {path.rpartition(".")[0] for path in before}
    for path, tensor in network.state_dict().items():
        if path.rpartition(".")[0] not in heads:
            assert tensor.equal(source_network.state_dict()[path])


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"not weights"])
def test_files_without_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    """The refusal contains the name of the file."""
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        start_from(build(DESIGN, classes=3, seed=0), file)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    """The refusal lists the known sources if none of them has the names."""
    file = tmp_path / "weights.pth"
    torch.save(nn.Linear(3, 3).state_dict(), file)
    with pytest.raises(
        CheckpointError, match=r"names of no known source \(known: torchvision, timm, pytorchcv, resatlas\)"
    ):
        start_from(build(DESIGN, classes=3, seed=0), file)
