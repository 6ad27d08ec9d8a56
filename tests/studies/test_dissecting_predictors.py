"""`dissect` answers questions that need no run about saved networks and words, on the images of their data set."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import resatlas
from resatlas.cli.main import main
from resatlas.errors import UsageError
from resatlas.studies.dissecting_predictors import QUESTIONS
from tests.weights.tiny_words import PYTORCHCV, TORCHVISION, Shelf, shelf


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A machine without weights, and a server with those of three words."""
    with shelf(tmp_path, monkeypatch) as it:
        yield it


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_word_answers_what_needs_no_run(question: str, machine: Shelf) -> None:
    """The network is that of the word; without a run the answer is not written, which a note says."""
    result = resatlas.dissect(PYTORCHCV, question, images=None if question == "capacity" else 8)
    assert result.runs[0] == PYTORCHCV
    assert "No file written: there is no run to keep it; choose a folder with --out." in result.notes
    if question != "capacity":
        assert "of 512 training images" in result.images
        assert f"No validation images of {PYTORCHCV} are known; training images of synthetic are used." in result.notes
    assert machine.own.exists()


def test_two_words_are_compared_and_written(machine: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--beside takes a word too, and --out keeps the answer."""
    out = tmp_path / "out"
    command = ["dissect", PYTORCHCV, "similarity", "--beside", TORCHVISION, "--images", "8", "--out", str(out)]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == [PYTORCHCV, TORCHVISION]
    assert (out / "dissections" / "similarity.json").is_file()
    assert machine.own.exists()


@pytest.mark.parametrize("question", ["flow", "streams", "surface", "explain"])
def test_what_needs_a_run_is_refused(question: str, machine: Shelf) -> None:
    """The questions that remain are named, before anything is downloaded."""
    with pytest.raises(UsageError, match=f"{question} needs a finished run, and .*; without a run there are capacity,"):
        resatlas.dissect(PYTORCHCV, question)
    assert machine.server.asked == []
