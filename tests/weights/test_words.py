"""Words for trained weights: the table is what the libraries publish, and every word is the network that it says."""

import csv
import io
import re
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.audit.comparison import audit
from resatlas.designs import catalog
from resatlas.errors import BlueprintError, UnknownName
from resatlas.exporting.preprocessing import view_of
from resatlas.nets.network import build
from resatlas.weights import words
from resatlas.weights.building import preparation_of
from resatlas.weights.conversion import export_weights, load_weights
from resatlas.weights.words import Word, matching, resolve, table, to_row
from tests.conftest import compared
from tests.oracles.peers import library, peer
from tests.weights.published_words import all_words, tensor_bytes

TABLE = Path(words.__file__).with_name(words.TABLE)


def test_every_preparation_gives_back_its_sides() -> None:
    """The crop share of timm's settings is a ratio of two whole numbers of pixels, and the resizing stays."""
    for word in table().values():
        preparation = preparation_of(word)
        assert view_of(preparation).shorter == Fraction(word.shorter, word.image), word.word
        assert preparation.interpolation == word.interpolation


@pytest.mark.slow
def test_the_table_is_what_the_libraries_publish() -> None:
    """Every cell equals what the installed libraries say; UPDATE_GOLDEN=1 rewrites the file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Word)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(to_row, all_words()))
    compared(TABLE, text.getvalue())


def test_the_table_has_the_words_of_three_sources() -> None:
    """Each source has its words, each with a licence, and a digest or a repository of the hub."""
    counts = {source: len(list(matching(f"{source}/*"))) for source in ("torchvision", "timm", "pytorchcv")}
    assert counts == {"torchvision": 17, "timm": 109, "pytorchcv": 135}
    assert all(word.licence and (word.digest or word.hub) for word in table().values())
    assert table()["timm/resnet18.fb_ssl_yfcc100m_ft_in1k"].licence == "cc-by-nc-4.0"
    assert table()["torchvision/resnet50@V2"].protocol == "imagenet, centre 224 of 232, bilinear"
    assert table()["torchvision/resnet50@V2"].error_percent == 19.142
    assert table()["pytorchcv/resnet20_cifar10"].protocol == "cifar-10, whole images"
    assert table()["timm/resnet50.a1_in1k"].protocol == ""


@pytest.mark.parametrize("name", ["pytorchcv/resnet20_svhn", "torchvision/resnet18@V1", "timm/resnetv2_50.a1h_in1k"])
def test_bytes_are_those_of_the_tensors(name: str) -> None:
    """The size in the table is that of all parameters and running statistics of the built network."""
    word = table()[name]
    with torch.device("meta"):
        tensors = build(word.plan(), device="meta").state_dict()
    floats = sum(tensor.numel() for path, tensor in tensors.items() if not path.endswith("num_batches_tracked"))
    assert word.bytes == 4 * floats == tensor_bytes(word.plan())


MEANT = (
    ("torchvision/resnet50@V2", "torchvision/resnet50@V2"),
    ("torchvision/resnet50@IMAGENET1K_V2", "torchvision/resnet50@V2"),
    ("torchvision/resnet18", "torchvision/resnet18@V1"),
    ("resnet20_cifar10", "pytorchcv/resnet20_cifar10"),
    ("resnet50.a1_in1k", "timm/resnet50.a1_in1k"),
    ("resnet18@V1", "torchvision/resnet18@V1"),
)


@pytest.mark.parametrize(("text", "word"), MEANT)
def test_a_name_of_one_source_is_enough(text: str, word: str) -> None:
    """A word may lack its source or its version if one source alone has that name."""
    assert resolve(text) == word


REFUSED = (
    ("torchvision/resnet50", '"torchvision/resnet50" can mean torchvision/resnet50@V1 or torchvision/resnet50@V2'),
    ("resnet18", '"resnet18" can mean torchvision/resnet18@V1 or pytorchcv/resnet18; give one of them'),
    ("torchvision/resnet50@V3", 'no weights "torchvision/resnet50@V3"; did you mean "torchvision/resnet50@V1"'),
    ("timm/resnet50.a1_in1", 'did you mean "timm/resnet50.a1_in1k"'),
    ("nothing/like/this", r"no weights .* \(all: resatlas weights list\)"),
)


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_a_name_that_says_too_little_is_refused(text: str, sentence: str) -> None:
    """Several meanings are all named; an unknown word gets the nearest ones."""
    with pytest.raises(UnknownName, match=sentence):
        resolve(text)


WRONG = (
    ({"digest": "md5:00"}, "a digest is sha256:… or sha1:…"),
    ({"site": ""}, "needs a file with its site and its digest, or a repository"),
    ({"site": "http://x/"}, "downloaded from https://…/ only"),
)


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_a_word_checks_itself(change: dict[str, Any], sentence: str) -> None:
    """A row without a usable address or digest is refused."""
    with pytest.raises(BlueprintError, match=sentence):
        replace(table()["torchvision/resnet18@V1"], **change)


def _constructors() -> dict[tuple[str, str], Word]:
    """One word of each network; words of one network differ only in their training and their number of classes."""
    chosen: dict[tuple[str, str], Word] = {}
    for word in table().values():
        network = re.sub(r"[@.].*|_(?:cifar10|cifar100|svhn|cub)$", "", word.name)
        chosen.setdefault((word.source, network), word)
    return chosen


SAMPLE = ("resnet20", "preresnet20", "resnet10", "resnext14_16x4d")


def _small(word: Word) -> bool:
    return word.image == 32 and cost(word.plan()).multiply_adds < 0.06e9


ALL = [
    pytest.param(source, name, marks=[] if name in SAMPLE else pytest.mark.slow, id=f"{source}-{name}")
    for source, name in _constructors()
]


@pytest.mark.parametrize(("source", "name"), ALL)
def test_a_word_has_the_tensors_of_its_constructor(source: str, name: str) -> None:
    """The names and shapes of the library's own network are those of our network under the source's names."""
    word = _constructors()[source, name]
    library(source)
    with torch.device("meta"):
        theirs = _constructor(word)
        ours = build(word.plan(), device="meta")
    shapes = {key: tuple(tensor.shape) for key, tensor in export_weights(ours, target=source).items()}
    assert shapes == {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}


AUDITED = [
    pytest.param(source, name, marks=[] if name in SAMPLE else pytest.mark.slow, id=f"{source}-{name}")
    for source, name in _constructors()
    if name in SAMPLE or _small(_constructors()[source, name])
]


@pytest.mark.parametrize(("source", "name"), AUDITED)
def test_a_word_is_the_function_of_its_constructor(source: str, name: str) -> None:
    """`audit` finds the library's own network to be the design of the word; of the families, the small ones.

    `tests/oracles/test_peers.py` compares the logits of the others.
    """
    word = _constructors()[source, name]
    entry = catalog.resolve(word.blueprint())
    side = min(word.image, 64)
    verdict = audit(peer(source, _name(word), classes=10), entry, image=Shape(3, side, side), classes=10)
    assert verdict.same, verdict


def _name(word: Word) -> str:
    """The name of the constructor, as its library knows it."""
    return word.name if word.source == "pytorchcv" else re.sub(r"[@.].*", "", word.name)


def _constructor(word: Word) -> nn.Module:
    match word.source:
        case "torchvision":
            return getattr(library("torchvision.models"), _name(word))(num_classes=word.classes)
        case "timm":
            return library("timm").create_model(_name(word), num_classes=word.classes)
        case _:
            return library("pytorchcv.model_provider").get_model(_name(word), num_classes=word.classes)


def test_weights_of_a_word_load_into_its_network() -> None:
    """The state dict of the constructor gives the network of the word the constructor's logits."""
    word = table()["pytorchcv/resnet20_cifar100"]
    theirs = peer("pytorchcv", "resnet20_cifar100", classes=word.classes)
    ours = build(word.plan(), seed=0).double()
    load_weights(ours, theirs.state_dict(), source=word.source)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(ours.eval()(images), theirs.eval()(images), atol=1e-9)
