"""`resatlas effects` analyses a factorial study from its folder alone, in every format."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from resatlas.cli.main import main
from tests.comparing.folders import EQUAL, write_run
from tests.comparing.planted import write_factorial

GOLDEN = Path(__file__).parents[1] / "page" / "golden"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished factorial study with planted effects."""
    folder = tmp_path_factory.mktemp("planted")
    write_factorial(folder)
    return folder


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "csv"])
def test_the_effects_read_as_their_golden_text(
    study: Path, form: str, capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None]
) -> None:
    """Claims, factors, effects, half-normal quantiles and notes; a CSV has the effects."""
    assert main(("effects", str(study), "--format", form)) == 0
    golden(GOLDEN / f"effects-{form}.txt", capsys.readouterr().out.rstrip("\n"))


def test_json_has_what_a_plot_needs(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The responses of every cell, the quantiles of a half-normal plot, the four means of each interaction."""
    assert main(("effects", str(study), "--json")) == 0
    [analysis] = json.loads(capsys.readouterr().out)
    assert [len(cell["responses"]) for cell in analysis["cells"]] == [3] * 8
    assert len(analysis["effects"]) == len(analysis["half_normal"]) == 6
    means = analysis["interactions"][2]["means"]
    assert analysis["interactions"][2]["factors"] == ["streams", "unit"]
    assert means["++"] < means["+-"]
    assert means["--"] < means["-+"]


def test_the_training_loss_is_a_response(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a logarithmic scale."""
    assert main(("effects", str(study), "--metric", "train_loss", "--format", "csv")) == 0
    assert len(list(csv.DictReader(StringIO(capsys.readouterr().out)))) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("RUN",), "no question here has factors; `resatlas compare` compares designs pair by pair"),
        (("nowhere",), "nowhere is neither a run nor a study"),
        (("STUDY", "--metric", "tets_error"), 'no metric "tets_error"; did you mean "test_error"?'),
    ],
)
def test_a_wrong_word_is_answered_in_a_line(
    study: Path, tmp_path: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run, a folder that is not there, a misspelt metric."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True])
    places = {"STUDY": str(study), "RUN": str(run.folder)}
    assert main(("effects", *(places.get(word, word) for word in words))) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
