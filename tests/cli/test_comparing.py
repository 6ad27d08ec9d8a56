"""Output and errors of compare, which needs no torch."""

import json
from pathlib import Path

import pytest

from resatlas.cli.main import main
from tests.cli.test_startup import IMPORTED, python
from tests.comparing.folders import Subject, write_errors

PLAIN = Subject(family="plain", depth=20)
RESNET = Subject(family="resnet", depth=20)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven runs of two designs in runs/ of the working directory."""
    monkeypatch.chdir(tmp_path)
    write_errors(tmp_path / "runs", PLAIN, (10, 12, 11, 13))
    write_errors(tmp_path / "runs", RESNET, (40, 43, 41))
    return tmp_path / "runs"


@pytest.mark.usefixtures("runs")
def test_a_folder_of_runs_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """The text is on standard output; exchanged sides give the same statement."""
    assert main(("compare", "runs")) == 0
    output = capsys.readouterr()
    assert "plain has a lower test error than resnet at equal multiply-adds and parameters, by 8." in output.out
    assert output.err == ""
    assert main(("compare", "runs", "--against", PLAIN.design)) == 0
    assert "plain has a lower test error than resnet at equal" in capsys.readouterr().out


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("form", "beginning"),
    [
        ("table", "Runs: test error on digits:size=16\n"),
        ("markdown", "## Runs: test error on digits:size=16\n"),
        ("latex", "% in the preamble: \\usepackage{booktabs}\n\n" r"\subsection*{Runs: test error on digits:size=16}"),
        ("csv", "question,data,first,second,first_nets,"),
    ],
)
def test_every_format_is_written(capsys: pytest.CaptureFixture[str], form: str, beginning: str) -> None:
    """Each format has its own beginning."""
    assert main(("compare", "runs", "--format", form)) == 0
    assert capsys.readouterr().out.startswith(beginning)


@pytest.mark.usefixtures("runs")
def test_json_is_a_list_of_questions(capsys: pytest.CaptureFixture[str]) -> None:
    """It contains the difference of --difference."""
    assert main(("compare", "runs", "--difference", "2", "--json")) == 0
    [question] = json.loads(capsys.readouterr().out)
    assert question["asked_points"] == 2.0
    assert question["pairs"][0]["verdict"] == "supported"


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "RUN"),
        (("nowhere",), "nowhere is neither a run nor a study: it does not exist"),
        (("runs", "--against", "resnet:depth=21,base=8"), 'did you mean "resnet:depth=20,base=8"?'),
        (("runs", "--against", "wrn-28-10"), 'no run of the design "wrn-28-10"'),
        (("runs", "--difference", "0"), "the difference must be from 0.001 to 100 points of error; got 0"),
        (("runs", "--difference", "nan"), "the difference must be from 0.001"),
        (("runs", "--difference", "x"), "--difference"),
        (("runs", "--margin", "0.1"), "a margin of 0.1 points is less than one of the 360 test images, which is 0.28"),
        (("runs", "--margin", "-1"), "the margin must be a finite number larger than 0; got -1"),
        (("runs", "--margin", "nan"), "the margin must be a finite number larger than 0; got nan"),
        (("runs", "--metric", "test_eror"), 'no metric "test_eror"; did you mean "test_error"?'),
        (("runs", "--metric", "time_to_error"), "time_to_error needs a validation error in percent"),
        (("runs", "--metric", "time_to_error=x"), "the target must be a number of percent"),
        (("runs", "--metric", "time_to_error=200"), "the target error must be from 0 to below 100 percent; got 200"),
        (("runs", "--metric", "test_error=5"), "test_error takes no target"),
        (("runs", "--metric", "time_to_error=0"), "never reaches a validation error of 0 %; choose a higher target"),
        (("runs", "--format", "pdf"), "--format"),
        (("runs", "--agaist", "x"), 'did you mean "--against"?'),
    ],
    ids=" ".join,
)
def test_a_wrong_command_has_an_error_of_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    """The exit code is 2, and the error one line."""
    assert main(("compare", *words)) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert sentence in output.err


def test_comparing_needs_no_torch(runs: Path) -> None:
    """It imports no library that computes with networks or draws, and --help imports none at all."""
    heavy = "torch,torchvision,sklearn,PIL,altair,jaxtyping"
    assert python("-c", IMPORTED, heavy, "compare", str(runs)).split() == ["0"]
    script = "import sys, resatlas.cli.compare_verb; print(*{'numpy', 'scipy', 'torch'} & set(sys.modules))"
    assert python("-c", script).split() == []
