"""Reading of predictions.csv, and its errors."""

from pathlib import Path

import pytest

from resatlas.comparing.image_draw import misclassified_images
from resatlas.errors import FolderError
from resatlas.runs.seal import SEAL
from tests.comparing.folders import EQUAL, IMAGES, edited, seal, write_run, write_runs


def test_predictions_are_those_of_the_file(tmp_path: Path) -> None:
    """Each row has an image with its true class, the predicted class and its probability."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[False, True])
    assert [tuple(prediction) for prediction in run.record().predictions or ()] == [
        ("1", "1", "1", 0.9),
        ("6", "6", "7", 0.9),
    ]
    assert misclassified_images(run.record()) == {("1", "1"): False, ("6", "6"): True}
    (run.folder / "predictions.csv").unlink()
    seal(run.folder)
    assert run.record().predictions is None
    assert misclassified_images(run.record()) == {}


@pytest.mark.parametrize(
    "text",
    [
        "id,true,predicted,probability\n1,1,1,0.9\n6,6,7,0.9\n",
        "id,true,predicted,probability,label,p:6,p:7\n1,1,1,0.900000,0,0.1,0\n\n6,6,7,0.900000,1,0.1,0.9\n",
    ],
)
def test_files_of_every_version_are_read(tmp_path: Path, text: str) -> None:
    """Files with the probabilities of all classes, and files of earlier versions without them."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[False, True])
    (run.folder / "predictions.csv").write_text(text)
    seal(run.folder)
    assert [tuple(prediction) for prediction in run.record().predictions or ()] == [
        ("1", "1", "1", 0.9),
        ("6", "6", "7", 0.9),
    ]


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
    """The error names the file, with and without a seal."""
    run = write_runs(tmp_path, EQUAL[:1])[0]
    (run.folder / "predictions.csv").write_text(damage)
    with pytest.raises(FolderError, match=r"predictions.csv was changed after the run ended"):
        run.record()
    (run.folder / SEAL).unlink()
    with pytest.raises(FolderError, match=r"predictions.csv does not hold predictions"):
        run.record()


def test_a_seal_allows_what_it_seals(tmp_path: Path) -> None:
    """Results that are sealed again are read: a seal detects damage, not forgery."""
    run = write_runs(tmp_path, EQUAL[:1])[0]
    edited(run.folder / "results.json", test={"loss": 0.1, "error_percent": 50.0, "images": IMAGES})
    assert run.record().outcome.test.error_percent == 50.0
