"""Confusion matrices and the gallery of misclassified images."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import altair as alt
import pytest

from resatlas.arch.ops import Shape
from resatlas.arch.plan import to_json
from resatlas.comparing.questions import Group
from resatlas.designs.catalog import plan
from resatlas.evaluation.predictions import Prediction, write_predictions
from resatlas.page.confusion import MOST_CLASSES, MOST_IMAGES, MOST_ROWS, confusion, gallery, no_pictures
from resatlas.runs.record import RunRecord
from resatlas.runs.store import Run
from tests.comparing.folders import EQUAL, comparison_of, edited, seal, write_run

PREDICTED = (
    # id, true, predicted, probability
    (1, 0, 0, 0.9),
    (2, 0, 1, 0.6),
    (3, 1, 1, 0.8),
    (4, 1, 0, 0.7),
    (5, 1, 0, 0.95),
    (6, 2, 2, 0.99),
)
CLASSES = ("cat", "<b>dog</b>", "=bird()")


def run_of(
    folder: Path,
    *,
    seed: int = 0,
    rows: Sequence[tuple[int, int, int, float]] = PREDICTED,
    classes: Sequence[str] = CLASSES,
) -> Run:
    """A run with these predictions."""
    run = write_run(folder, EQUAL[0][0], seed=seed, wrong=[true != predicted for _, true, predicted, _ in rows])
    write_predictions(run.folder / "predictions.csv", [Prediction(*row) for row in rows], classes)
    network_plan = plan(EQUAL[0][0].design, image=Shape(1, 16, 16), classes=len(classes))
    edited(run.folder / "experiment.json", classes=list(classes), plan=to_json(network_plan))
    return run


def group_of(*runs: Run) -> Group:
    """The only group of some runs."""
    [group] = comparison_of(runs).question.groups
    return group


def test_counts_are_over_all_networks(tmp_path: Path) -> None:
    """Cells count predictions of all networks, the last column is the error of each class, the worst comes first."""
    matrix = confusion(group_of(run_of(tmp_path / "a"), run_of(tmp_path / "b", seed=1)))
    assert matrix is not None
    assert matrix.figure is not None
    data = matrix.figure.spec["datasets"]
    assert {(cell["true"], cell["predicted"]): cell["count"] for cell in data["cells"]} == {
        ("cat", "cat"): 2,
        ("cat", "<b>dog</b>"): 2,
        ("<b>dog</b>", "cat"): 4,
        ("<b>dog</b>", "<b>dog</b>"): 2,
        ("=bird()", "=bird()"): 2,
    }
    assert {rate["true"]: rate["rate"] for rate in data["rates"]} == {
        "cat": 50,
        "<b>dog</b>": pytest.approx(200 / 3),
        "=bird()": 0,
    }
    assert matrix.classes.cells == (
        ("<b>dog</b>", "cat (4)", "6", "4", "66.7"),
        ("cat", "<b>dog</b> (2)", "4", "2", "50.0"),
        ("=bird()", "–", "2", "0", "0.0"),
    )
    assert matrix.words == "2 networks, 12 predictions, 6 errors"
    assert alt.Chart.from_dict(matrix.figure.spec)


def test_many_classes_have_only_a_table(tmp_path: Path) -> None:
    """A matrix of many classes is not legible; the table has the classes of the highest error."""
    many = [f"c{k}" for k in range(MOST_CLASSES + 1)]
    rows = [(k, k, 0, 0.5) for k in range(len(many))]
    matrix = confusion(group_of(run_of(tmp_path / "a", rows=rows, classes=many)))
    assert matrix is not None
    assert matrix.figure is None
    assert len(matrix.classes.rows) == MOST_ROWS


def test_images_that_most_networks_misclassify_come_first(tmp_path: Path) -> None:
    """Then the most confident errors; class and probability are those of the most frequent wrong class."""
    other = ((1, 0, 0, 0.9), (2, 0, 2, 0.5), (3, 1, 1, 0.8), (4, 1, 1, 0.7), (5, 1, 0, 0.55), (6, 2, 0, 0.4))
    groups = comparison_of([run_of(tmp_path / "a"), run_of(tmp_path / "b", seed=1, rows=other)]).question.groups
    shown = gallery(groups, no_pictures)
    assert shown is not None
    assert [(image.image, image.true, image.predicted, image.networks) for image in shown.images] == [
        ("5", "<b>dog</b>", "cat", 2),
        ("2", "cat", "<b>dog</b>", 2),
        ("4", "<b>dog</b>", "cat", 1),
        ("6", "=bird()", "cat", 1),
    ]
    assert shown.images[0].probability == pytest.approx(0.75)
    assert (shown.networks, shown.tested, shown.wrong) == (2, 6, 4)
    assert shown.no_pictures == "No pictures: this page was made from the run folders only, without the data set."
    assert not any(image.picture for image in shown.images)


def test_pictures_are_data_addresses(tmp_path: Path) -> None:
    """Only the shown images are requested; an image without a picture is shown in words."""
    requested: list[str] = []

    def pictures(_run: RunRecord, images: Sequence[str]) -> Mapping[str, bytes]:
        requested.extend(images)
        return {"5": b"picture"}

    shown = gallery([group_of(run_of(tmp_path / "a"))], pictures)
    assert shown is not None
    assert requested == ["5", "4", "2"]
    address = f"data:image/png;base64,{base64.b64encode(b'picture').decode()}"
    assert [image.picture for image in shown.images] == [address, "", ""]
    assert shown.no_pictures == ""


def test_a_gallery_has_a_limit(tmp_path: Path) -> None:
    """The gallery shows a limited number of images and counts all of them."""
    rows = [(k, 0, 1, 0.5) for k in range(MOST_IMAGES + 5)]
    shown = gallery([group_of(run_of(tmp_path / "a", rows=rows))], no_pictures)
    assert shown is not None
    assert (len(shown.images), shown.wrong) == (MOST_IMAGES, MOST_IMAGES + 5)


def test_no_pictures_are_requested_without_errors(tmp_path: Path) -> None:
    """If no image is misclassified, no data set is read."""

    def pictures(_run: RunRecord, _images: Sequence[str]) -> str:
        raise AssertionError

    shown = gallery([group_of(run_of(tmp_path / "a", rows=[(1, 0, 0, 0.9)]))], pictures)
    assert shown is not None
    assert shown.images == ()


def test_runs_without_predictions_have_neither(tmp_path: Path) -> None:
    """There is no confusion matrix and no gallery."""
    run = run_of(tmp_path / "a")
    (run.folder / "predictions.csv").unlink()
    seal(run.folder)
    group = group_of(run)
    assert confusion(group) is None
    assert gallery([replace(group)], no_pictures) is None
