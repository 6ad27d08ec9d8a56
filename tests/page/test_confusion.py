"""Which classes are taken for which, and which images are shown."""

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
    """A run that answered so."""
    run = write_run(folder, EQUAL[0][0], seed=seed, wrong=[true != given for _, true, given, _ in rows])
    write_predictions(run.folder / "predictions.csv", [Prediction(*row) for row in rows], classes)
    drawn = plan(EQUAL[0][0].design, image=Shape(1, 16, 16), classes=len(classes))
    edited(run.folder / "experiment.json", classes=list(classes), plan=to_json(drawn))
    return run


def group_of(*runs: Run) -> Group:
    """The only group of some runs."""
    [group] = comparison_of(runs).question.groups
    return group


def test_counts_are_those_of_all_nets(tmp_path: Path) -> None:
    """Cells count answers over the nets, the last column is the error of each class, the worst stands first."""
    found = confusion(group_of(run_of(tmp_path / "a"), run_of(tmp_path / "b", seed=1)))
    assert found is not None
    assert found.figure is not None
    data = found.figure.spec["datasets"]
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
    assert found.classes.cells == (
        ("<b>dog</b>", "cat (4)", "6", "4", "66.7"),
        ("cat", "<b>dog</b> (2)", "4", "2", "50.0"),
        ("=bird()", "–", "2", "0", "0.0"),
    )
    assert found.words == "2 nets, 12 answers, 6 of them wrong"
    assert alt.Chart.from_dict(found.figure.spec)


def test_many_classes_have_a_table_alone(tmp_path: Path) -> None:
    """A map of a hundred classes cannot be read; the table has those of the highest error."""
    many = [f"c{k}" for k in range(MOST_CLASSES + 1)]
    rows = [(k, k, 0, 0.5) for k in range(len(many))]
    found = confusion(group_of(run_of(tmp_path / "a", rows=rows, classes=many)))
    assert found is not None
    assert found.figure is None
    assert len(found.classes.rows) == MOST_ROWS


def test_images_that_most_nets_get_wrong_come_first(tmp_path: Path) -> None:
    """Then the surest errors; class and probability are those of what they are mostly taken for."""
    other = ((1, 0, 0, 0.9), (2, 0, 2, 0.5), (3, 1, 1, 0.8), (4, 1, 1, 0.7), (5, 1, 0, 0.55), (6, 2, 0, 0.4))
    groups = comparison_of([run_of(tmp_path / "a"), run_of(tmp_path / "b", seed=1, rows=other)]).question.groups
    found = gallery(groups, no_pictures)
    assert found is not None
    assert [(each.image, each.true, each.predicted, each.nets) for each in found.images] == [
        ("5", "<b>dog</b>", "cat", 2),
        ("2", "cat", "<b>dog</b>", 2),
        ("4", "<b>dog</b>", "cat", 1),
        ("6", "=bird()", "cat", 1),
    ]
    assert found.images[0].probability == pytest.approx(0.75)
    assert (found.nets, found.tested, found.wrong) == (2, 6, 4)
    assert found.without.startswith("No picture is shown")
    assert not any(each.picture for each in found.images)


def test_pictures_are_held_by_their_addresses(tmp_path: Path) -> None:
    """Whoever gives them is asked for just the images that are shown; one that is not given is shown in words."""
    asked: list[str] = []

    def give(_run: RunRecord, images: Sequence[str]) -> Mapping[str, bytes]:
        asked.extend(images)
        return {"5": b"picture"}

    found = gallery([group_of(run_of(tmp_path / "a"))], give)
    assert found is not None
    assert asked == ["5", "4", "2"]
    address = f"data:image/png;base64,{base64.b64encode(b'picture').decode()}"
    assert [each.picture for each in found.images] == [address, "", ""]
    assert found.without == ""


def test_a_gallery_has_an_end(tmp_path: Path) -> None:
    """However many images are wrong."""
    rows = [(k, 0, 1, 0.5) for k in range(MOST_IMAGES + 5)]
    found = gallery([group_of(run_of(tmp_path / "a", rows=rows))], no_pictures)
    assert found is not None
    assert (len(found.images), found.wrong) == (MOST_IMAGES, MOST_IMAGES + 5)


def test_nobody_is_asked_for_pictures_of_nothing(tmp_path: Path) -> None:
    """Where no image is wrong, no data set is read."""

    def give(_run: RunRecord, _images: Sequence[str]) -> str:
        raise AssertionError

    found = gallery([group_of(run_of(tmp_path / "a", rows=[(1, 0, 0, 0.9)]))], give)
    assert found is not None
    assert found.images == ()


def test_runs_without_predictions_have_neither(tmp_path: Path) -> None:
    """Nothing stands in their place."""
    run = run_of(tmp_path / "a")
    (run.folder / "predictions.csv").unlink()
    seal(run.folder)
    group = group_of(run)
    assert confusion(group) is None
    assert gallery([replace(group)], no_pictures) is None
