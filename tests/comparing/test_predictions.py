"""What is read of predictions.csv, and what is refused."""

from pathlib import Path

import pytest

from resatlas.comparing.image_draw import wrong_answers
from resatlas.errors import FolderError
from resatlas.runs.seal import SEAL
from tests.comparing.folders import EQUAL, IMAGES, edited, seal, write_run, write_runs


def test_answers_are_those_of_the_file(tmp_path: Path) -> None:
    """An image with its class, the class given to it, and how sure the network was."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[False, True])
    assert [tuple(each) for each in run.record().predictions or ()] == [("1", "1", "1", 0.9), ("6", "6", "7", 0.9)]
    assert wrong_answers(run.record()) == {("1", "1"): False, ("6", "6"): True}
    (run.folder / "predictions.csv").unlink()
    seal(run.folder)
    assert run.record().predictions is None
    assert wrong_answers(run.record()) == {}


@pytest.mark.parametrize(
    "text",
    [
        "id,true,predicted,probability\n1,1,1,0.9\n6,6,7,0.9\n",
        "id,true,predicted,probability,label,p:6,p:7\n1,1,1,0.900000,0,0.1,0\n\n6,6,7,0.900000,1,0.1,0.9\n",
    ],
)
def test_files_of_every_version_are_read(tmp_path: Path, text: str) -> None:
    """With the probabilities of all classes, and without, as earlier versions wrote them."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[False, True])
    (run.folder / "predictions.csv").write_text(text)
    seal(run.folder)
    assert [tuple(guess) for guess in run.record().predictions or ()] == [("1", "1", "1", 0.9), ("6", "6", "7", 0.9)]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "id,true\n1,2\n",
        "\x00",
        "id,true,predicted,probability\n1,2,2,much\n",
        "id,true,predicted,probability\n1,2\n",
    ],
)
def test_damaged_predictions_are_named(tmp_path: Path, damage: str) -> None:
    """The error says which file, whether a seal finds it or not."""
    run = write_runs(tmp_path, EQUAL[:1])[0]
    (run.folder / "predictions.csv").write_text(damage)
    with pytest.raises(FolderError, match=r"predictions.csv was changed after the run ended"):
        run.record()
    (run.folder / SEAL).unlink()
    with pytest.raises(FolderError, match=r"predictions.csv does not hold predictions"):
        run.record()


def test_a_seal_allows_what_it_seals(tmp_path: Path) -> None:
    """Results that are sealed anew are read: a seal shows damage, not malice."""
    run = write_runs(tmp_path, EQUAL[:1])[0]
    edited(run.folder / "results.json", test={"loss": 0.1, "error_percent": 50.0, "images": IMAGES})
    assert run.record().outcome.test.error_percent == 50.0
