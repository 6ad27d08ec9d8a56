"""What is read of predictions.csv, and what is refused."""

from pathlib import Path

import pytest

from resatlas.errors import FolderError
from resatlas.reporting.predictions import guesses, has_predictions, wrong_answers
from resatlas.runs.files import read_json, write_json
from tests.reporting.folders import EQUAL, IMAGES, write_run, write_runs


def test_answers_are_those_of_the_file(tmp_path: Path) -> None:
    """An image with its class, the class given to it, and how sure the network was."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[False, True])
    assert [tuple(each) for each in guesses(run)] == [("1", "1", "1", 0.9), ("6", "6", "7", 0.9)]
    assert wrong_answers(run) == {("1", "1"): False, ("6", "6"): True}
    assert has_predictions(run)
    (run.folder / "predictions.csv").unlink()
    assert not has_predictions(run)


def test_predictions_agree_with_results(tmp_path: Path) -> None:
    """A difference is never judged by answers that belong to other results."""
    run = write_runs(tmp_path, EQUAL[:1])[0]
    results = read_json(run.folder / "results.json")
    write_json(run.folder / "results.json", {**results, "test": {"error_percent": 50.0, "images": IMAGES}})
    with pytest.raises(FolderError, match=r"but results.json says 50.0000 %"):
        guesses(run)


@pytest.mark.parametrize("damage", ["", "id,true\n1,2\n", "\x00", "id,true,predicted,probability\n1,2,2,much\n"])
def test_damaged_predictions_are_named(tmp_path: Path, damage: str) -> None:
    """The error says which file, and what writes it again."""
    run = write_runs(tmp_path, EQUAL[:1])[0]
    (run.folder / "predictions.csv").write_text(damage)
    with pytest.raises(FolderError, match=r"predictions.csv cannot be read; `resatlas evaluate`"):
        guesses(run)
