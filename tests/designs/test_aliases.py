"""Spellings of other programs: taken where they mean one network alone, and answered with names where they do not."""

import pytest
import torch
from torch import nn

from resatlas.cli.main import main
from resatlas.designs.aliases import peers
from resatlas.designs.catalog import FAMILIES, alias_note, canonical, named, resolve
from resatlas.errors import DepthError, UnknownName
from resatlas.nets.network import build
from resatlas.runs.experiment import Experiment
from resatlas.weights.semantics import differing_traits, traits
from resatlas.weights.sources import dialect_for, key_of
from tests.oracles.peers import library, peer

PEERS = peers(FAMILIES)

SPELLINGS = {
    "resnet20": "resnet-20",
    "resnet110": "resnet-110",
    "RESNET_20_B": "resnet-20-B",
    "ResNet-50": "resnet-50",
    "resnet50_v1.5": "resnet-50-v1.5",
    "wrn28_10": "wrn-28-10",
    "WRN-28-10": "wrn-28-10",
    "wideresnet28x10": "wrn-28-10",
    "WideResNet-28-10": "wrn-28-10",
    "wide_resnet28_10:dropout=0.3": "wrn-28-10:dropout=0.3",
    "wrn_40_2_b131": "wrn-40-2-B131",
    "resnext29_8x64d": "resnext-29-8x64d",
    "pyramidnet110_a48": "pyramidnet-110-a48",
    "PyramidNet164-bottleneck-a270": "pyramidnet-164-bottleneck-a270",
    "preact_resnet110": "preact-resnet-110",
    "dmrnet26k3": "dmrnet-26-k3",
    "plain20": "plain-20",
    "WideResNet:depth=28,widen=10": "wide-resnet:depth=28,widen=10",
}


@pytest.mark.parametrize(("spelling", "text"), [*PEERS.items(), *SPELLINGS.items()])
def test_a_spelling_is_the_name_here(spelling: str, text: str) -> None:
    """The entry has the name here, an experiment too, and a line says what the spelling means."""
    entry = resolve(spelling)
    assert entry == resolve(text)
    assert entry.name == text
    assert Experiment(design=spelling, data="digits").design == text
    name, known = (words.partition(":")[0] for words in (spelling, text))
    assert (alias_note(spelling) or "").startswith(f"{name} is {known} here")


def test_a_tag_of_trained_weights_is_said_to_load_none() -> None:
    """As timm's names of models have it."""
    assert resolve("resnet50.tv_in1k").name == "resnet-50-v1.5"
    assert (alias_note("resnet50.tv_in1k") or "").endswith('; "tv_in1k" names weights, which are not loaded')


@pytest.mark.parametrize("name", PEERS)
def test_the_networks_of_other_libraries_are_those_of_their_names(name: str) -> None:
    """Names and shapes of all weights, and what shapes do not show: the traits of its code."""
    plan = resolve(name).plan()
    source = "torchvision" if hasattr(library("torchvision.models"), name) else "timm"
    dialect = dialect_for(plan, source)
    assert differing_traits(traits(plan), dialect.traits) == []
    with torch.device("meta"):
        theirs = peer(source, name, classes=1000)
    own = build(plan, device="meta").state_dict()
    shapes = {key_of(path, dialect, plan): tensor.shape for path, tensor in own.items()}
    assert isinstance(theirs, nn.Module)
    assert shapes == {key: tensor.shape for key, tensor in theirs.state_dict().items()}


OFFERED = {
    "resnet164": 'did you mean "resnet-164-bottleneck" or "resnet-164"?',
    "resnet1001": 'did you mean "resnet-1001-bottleneck"?',
    "pyramidnet164_a270": 'did you mean "pyramidnet-164-bottleneck-a270" or "pyramidnet-164-a270"?',
    "ResNet50": 'did you mean "resnet-50" or "resnet-50-v1.5"?',
    "resnet_50": 'did you mean "resnet-50" or "resnet-50-v1.5"?',
    "ResNet18": 'did you mean "resnet-18"?',
    "PreActResNet18": 'did you mean "preact-resnet-18"?',
    "resnet26": 'did you mean "resnet-26"?',
    "wrn2810": 'did you mean "wrn-28-10"?',
}


@pytest.mark.parametrize(("spelling", "words"), OFFERED.items())
def test_what_may_mean_another_network_is_not_guessed(spelling: str, words: str) -> None:
    """Other programs build something else under these, or the digits can be read in two ways."""
    with pytest.raises(UnknownName) as caught:
        resolve(spelling)
    assert words in str(caught.value)


def test_a_spelling_of_an_impossible_network_is_told_the_nearest() -> None:
    """By the family's own error."""
    with pytest.raises(DepthError, match=r"a wide ResNet has depth 6n \+ 4; 30 is not"):
        resolve("wrn30_10")


def test_names_of_the_catalogue_are_not_spellings() -> None:
    """They stay as they are, and so do files."""
    assert [name for name in named() if canonical(name) != name or alias_note(name)] == []
    for text in ("resnet18.toml", "folder/resnet18", "nothing-of-ours", "resnet-18"):
        assert canonical(text) == text


@pytest.mark.parametrize(
    "words", [("describe", "resnet18"), ("cite", "resnet18"), ("train", "resnet18", "--print-config")]
)
def test_verbs_say_what_a_spelling_means(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A note of one line on standard error, and the result under the name here."""
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == "resnet18 is resnet-18 here\n"
    assert "resnet18" not in out
