"""`resatlas weights`: the list, the files of words on this machine, and words where a training begins."""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from resatlas.cli.main import main
from tests.weights.tiny_words import PYTORCHCV, TIMM, TORCHVISION, Shelf, put, shelf

Say = Callable[..., tuple[str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """A function that runs a command and returns its standard output and standard error."""

    def run(*words: str, code: int = 0) -> tuple[str, str]:
        assert main(words) == code
        output = capsys.readouterr()
        return output.out, output.err

    return run


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A machine without weights, and a server with those of three words."""
    with shelf(tmp_path, monkeypatch) as it:
        yield it


def test_the_list_says_what_a_source_publishes(say: Say) -> None:
    """Each row has the network, the figures with their protocol, the licence and the digest; a pattern selects."""
    rows = json.loads(say("weights", "list", "torchvision/resnet50*", "--json")[0])
    assert [row["word"] for row in rows] == ["torchvision/resnet50@V1", "torchvision/resnet50@V2"]
    assert rows[1]["design"] == "resnet-50-v1.5"
    assert (rows[1]["error_percent"], rows[1]["top5_error_percent"]) == (19.142, 4.566)
    assert rows[1]["protocol"] == "imagenet, centre 224 of 232, bilinear"
    assert (rows[1]["licence"], rows[1]["digest"]) == ("bsd-3-clause", "sha256:11ad3fa6")
    text = say("weights", "list", "*wsl_ig1b*")[0]
    assert "cc-by-nc-4.0" in text
    assert text.endswith("errors are those that the source publishes\n")
    assert "1 word, " in say("weights", "list", "pytorchcv/resnet10")[0]
    assert "(1+1+1+1 units)" in say("weights", "list", "pytorchcv/resnet10")[0]


def test_a_pattern_without_a_word_is_refused(say: Say) -> None:
    """The nearest word is named."""
    assert 'did you mean "torchvision/resnet50@V1"' in say("weights", "list", "torchvision/resnet50@V3", code=2)[1]
    assert 'no action of resatlas weights "lst"; did you mean "list"?' in say("weights", "lst", code=2)[1]
    assert "needs a WORD" in say("weights", "get", code=2)[1]


def test_get_says_whether_it_fetched(machine: Shelf, say: Say) -> None:
    """The file, its sha256, and whether it was downloaded now."""
    first, second = (json.loads(say("weights", "get", TORCHVISION, "--json")[0]) for _ in range(2))
    assert first == {
        "word": TORCHVISION,
        "file": str(machine.own / machine.word(TORCHVISION).file),
        "sha256": sha256(machine.content[TORCHVISION]).hexdigest(),
        "fetched": True,
    }
    assert second == {**first, "fetched": False}
    assert json.loads(say("weights", "list", TORCHVISION, "--json")[0])[0]["file"] == first["file"]


def test_check_verifies_every_file_on_this_machine(machine: Shelf, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files of words, wherever they lie; exit code 4 with the reason if one is wrong."""
    for module in ("cli.weights_verb", "weights.words", "weights.obtaining"):
        monkeypatch.setattr(f"resatlas.{module}.own_words", dict)  # those of the package have tests of their own
    assert say("weights", "check")[0] == "0 files, 0 faults\n"
    put(machine.home / "torch" / "hub" / "checkpoints" / machine.word(TORCHVISION).file, machine.content[TORCHVISION])
    put(machine.home / "home" / ".torch" / "models" / "tiny.pth", machine.content[PYTORCHCV])
    assert say("weights", "check")[0].endswith("2 files, 0 faults\n")
    put(machine.own / "tiny.pth", machine.content[PYTORCHCV][:-9])
    rows = json.loads(say("weights", "check", "--json", code=4)[0])
    assert [bool(row["fault"]) for row in rows] == [False, True, False]
    assert "is damaged, incomplete or another file" in rows[1]["fault"]
    assert len(json.loads(say("weights", "check", PYTORCHCV, "--json", code=4)[0])) == 2
    assert f"{TIMM} is not on this machine" in say("weights", "check", TIMM, code=4)[1]


def test_check_of_a_file_names_its_word(machine: Shelf, say: Say) -> None:
    """A file of any name is recognised by its digest; others are said to be unknown, or damaged."""
    file = put(machine.home / "mine.bin", machine.content[PYTORCHCV])
    assert json.loads(say("weights", "check", str(file), "--json")[0])[0]["word"] == PYTORCHCV
    other = put(machine.home / "other.bin", machine.content[TIMM])
    assert "no known source publishes a file with its sha256" in say("weights", "check", str(other), code=4)[0]
    spoilt = put(machine.home / machine.word(TORCHVISION).file, b"x" * 100)
    assert f"{spoilt.name} is a text file" in say("weights", "check", str(spoilt), code=4)[0]


def test_a_training_starts_from_a_word(machine: Shelf, say: Say) -> None:
    """--init-from takes a word: its file and digest are part of the experiment; --offline then downloads nothing."""
    command = ["train", "resnet-18-B:base=2", "--data", "synthetic", "--init-from", TORCHVISION, "--print-config"]
    assert "--offline forbids a download" in say(*command, "--offline", code=4)[1]
    config = json.loads(say(*command)[0])
    assert config["weights"] == {
        "file": str(machine.own / machine.word(TORCHVISION).file),
        "sha256": sha256(machine.content[TORCHVISION]).hexdigest(),
        "which": "raw",
    }
    assert json.loads(say(*command, "--offline")[0]) == config


def test_a_training_from_a_word_of_another_network_is_refused(machine: Shelf, say: Say) -> None:
    """The design is compared with the word's before anything is downloaded."""
    err = say("train", "plain-18:base=2", "--data", "synthetic", "--init-from", TORCHVISION, code=4)[1]
    assert err.startswith("CheckpointError: ")
    assert machine.server.asked == []
