"""Networks with the weights of a word, in Python: the design is checked, the classifier fits the task."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import resatlas
from resatlas.arch.ops import Shape
from resatlas.errors import CheckpointError, UnknownName
from tests.training.small import different
from tests.weights.tiny_words import PYTORCHCV, TIMM, TORCHVISION, Shelf, shelf


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A machine without weights, and a server with those of three words."""
    with shelf(tmp_path, monkeypatch) as it:
        yield it


@pytest.mark.parametrize("word", [TORCHVISION, TIMM, PYTORCHCV])
def test_a_network_has_the_weights_of_a_word(word: str, machine: Shelf) -> None:
    """Image and number of classes are those of the word, and every tensor is that of its file."""
    network = resatlas.build(machine.word(word).design, weights=word)
    assert (network.plan.image, network.plan.classes) == (Shape(3, 32, 32), 10)
    assert different(network.state_dict(), machine.networks[word].state_dict()) == []
    assert network.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)


def test_another_number_of_classes_gets_a_new_classifier(machine: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    """The classifier is that of the seed, which is logged; all other tensors are those of the file."""
    design = machine.word(TORCHVISION).design
    with caplog.at_level(logging.WARNING, logger="resatlas"):
        network = resatlas.build(design, weights=TORCHVISION, classes=7, seed=3)
    fresh = resatlas.build(design, image=Shape(3, 32, 32), classes=7, seed=3)
    assert "its classifier of 10 classes is replaced by a new one of 7" in caplog.text
    assert network.state_dict()["head.linear.weight"].equal(fresh.state_dict()["head.linear.weight"])
    assert network.state_dict()["stem.conv.weight"].equal(
        machine.networks[TORCHVISION].state_dict()["stem.conv.weight"]
    )


def test_a_file_is_taken_as_it_is(machine: Shelf) -> None:
    """A path is no word, and its design decides the image and the classes."""
    file = machine.home / "file.pth"
    file.write_bytes(machine.content[TORCHVISION])
    network = resatlas.build("resnet-18-B:base=2", weights=file, image=Shape(3, 32, 32), classes=10)
    assert different(network.state_dict(), machine.networks[TORCHVISION].state_dict()) == []
    assert machine.server.asked == []


def test_a_word_of_another_function_is_refused(machine: Shelf) -> None:
    """Shapes that agree are not enough: the word says which function its weights belong to."""
    with pytest.raises(CheckpointError, match=r"the file's|another function"):
        resatlas.build("plain-18:base=2", weights=TORCHVISION)
    assert machine.server.asked == [], "the design is checked before anything is downloaded"


def test_the_stride_of_a_bottleneck_is_checked() -> None:
    """Files of pytorchcv's resnet50 and resnet50b cannot be distinguished; their words can, before a download."""
    with pytest.raises(CheckpointError, match="bottlenecks take the stride on the 3x3"):
        resatlas.build("resnet-50", weights="pytorchcv/resnet50b", access="offline")


def test_an_unknown_word_has_neighbours() -> None:
    """The nearest words are named."""
    with pytest.raises(UnknownName, match="did you mean"):
        resatlas.build("resnet-18", weights="torchvision/resnet18@V9")


def test_the_default_is_a_new_network() -> None:
    """Without weights, `build` is that of `nets.network`."""
    one, other = (resatlas.build("resnet-8:base=1", seed=4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
