"""`resatlas hypotheses` answers from a study's folder alone, in every format."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.runs.collection import Collection, Hypothesis, Question, write_collection
from tests.comparing.folders import IMAGES, Subject, write_run

GOLDEN = Path(__file__).parents[1] / "page" / "golden"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of one question with a hypothesis."""
    folder = tmp_path_factory.mktemp("asked")
    subjects = (Subject(family="resnet", depth=20), Subject(family="plain", depth=20))
    runs = [
        write_run(folder / f"{subject.family}-{seed}", subject, seed=seed, wrong=[k < misses for k in range(IMAGES)])
        for subject, counts in zip(subjects, ((10, 11, 9), (20, 21, 22)), strict=True)
        for seed, misses in enumerate(counts)
    ]
    first, second = (subject.design for subject in subjects)
    hypothesis = Hypothesis(first=first, second=second, expected="lower", source="ResNet, figure 4")
    question = Question(
        name="R3",
        title="A residual network errs less",
        view="runs",
        runs=tuple(run.folder.name for run in runs),
        hypothesis=hypothesis,
    )
    write_collection(folder, Collection(name="asked", questions=(question,)))
    return folder


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_the_answers_read_as_their_golden_text(
    study: Path, form: str, capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None]
) -> None:
    """The answer with its difference, interval and p; the designs with their means, and the source."""
    assert main(("hypotheses", str(study), "--format", form)) == 0
    golden(GOLDEN / f"hypotheses-{form}.txt", capsys.readouterr().out.rstrip("\n"))


def test_the_csv_has_its_golden_data(
    study: Path, capsys: pytest.CaptureFixture[str], golden_data: Callable[[Path, str], None]
) -> None:
    """One row per hypothesis, with all digits."""
    assert main(("hypotheses", str(study), "--format", "csv")) == 0
    golden_data(GOLDEN / "hypotheses-csv.txt", capsys.readouterr().out)


def test_json_has_every_value(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that another analysis can be made from it; the CSV has a row for each hypothesis."""
    assert main(("hypotheses", str(study), "--json")) == 0
    [answer] = json.loads(capsys.readouterr().out)
    assert answer["values"]["first"] == pytest.approx({"0": 1000 / 360, "1": 1100 / 360, "2": 900 / 360})
    assert answer["answer"] == "supported"
    assert main(("hypotheses", str(study), "--format", "csv")) == 0
    assert [row["answer"] for row in csv.DictReader(StringIO(capsys.readouterr().out))] == ["supported"]


def test_a_run_has_no_hypothesis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is one line with the verb that compares runs."""
    run = write_run(tmp_path / "run", Subject(family="resnet", depth=20), seed=0, wrong=[True])
    assert main(("hypotheses", str(run.folder))) == 2
    assert "no question here has a hypothesis; `resatlas compare` compares designs" in capsys.readouterr().err
