"""What runs were asked about their insides, on their page."""

import json
import shutil
from pathlib import Path

import pytest

from resatlas.analysis.answer import Answer, Fact, Table, from_json, table, to_json
from resatlas.analysis.capacity import answer as capacity_of
from resatlas.analysis.lesion import DrawnRow, LesionRow
from resatlas.analysis.paths import LengthRow
from resatlas.designs.catalog import plan
from resatlas.errors import FolderError
from resatlas.reporting.dissection import finding, findings
from resatlas.reporting.page import page
from resatlas.reporting.report import report
from resatlas.runs.store import Run
from tests.reporting.folders import EQUAL, write_runs

EVIL = "</script><script>alert(1)</script>"


def kept(run: Run, answer: Answer) -> None:
    """The answer in the folder of a run."""
    (run.folder / "dissections").mkdir(exist_ok=True)
    file = run.folder / "dissections" / f"{answer.question}.json"
    file.write_text(json.dumps(to_json(answer)), encoding="utf-8")


def lesion() -> Answer:
    """An answer about two units."""
    numbers = dict.fromkeys([name for name in LesionRow.__dataclass_fields__ if "_" in name], 1.0)
    rows = [
        LesionRow(**{**numbers, "unit": unit, "stream": stream, "down_sampling": down, "error_frozen": error})  # type: ignore[arg-type]
        for unit, stream, down, error in (("a", "all", "no", 10.0), ("a", "0", "no", 5.0), ("b", "all", "yes", 90.0))
    ]
    tables = (
        Table(title="contrast", columns=(), rows=()),
        table("units", LesionRow, rows),
        table("many", DrawnRow, ()),
    )
    return Answer(question="lesion", title="lesions", runs=("r",), images="9 images", tables=tables)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run."""
    return write_runs(tmp_path, [(EQUAL[0][0], 1)])[0]


def test_answers_come_back_from_json() -> None:
    """To JSON and back, an answer is the same."""
    for answer in (lesion(), capacity_of("r", plan("resnet-20"))):
        assert from_json(json.loads(json.dumps(to_json(answer)))) == answer


def test_charts_hold_the_figures(tmp_path: Path) -> None:
    """Whole units alone are drawn, a line a kind of error, down-sampling ones marked; what has no value is no chart."""
    [spec] = finding(lesion(), tmp_path).specs
    points = {(each["x"], each["line"]): each["value"] for each in spec["data"]["values"]}
    assert points == {
        ("a", "error frozen"): 10.0,
        ("a", "error reestimated"): 1.0,
        ("b /2", "error frozen"): 90.0,
        ("b /2", "error reestimated"): 1.0,
    }
    [spec] = finding(capacity_of("r", plan("resnet-20")), tmp_path).specs
    assert len(spec["data"]["values"]) == 2 * 11


def test_the_page_shows_what_was_asked(run: Run) -> None:
    """Facts, charts and tables of each answer stand on the page, in the order of the questions."""
    kept(run, capacity_of("r", plan("resnet-20")))
    kept(run, lesion())
    assert [each.title for each in findings(run)] == [
        "r: lesions (9 images)",
        "r: parameters and multiply-adds along the depth (no images)",
    ]
    html = page(title="x", answers=report([run.folder]))
    assert html.index("r: lesions") < html.index("r: parameters and multiply-adds")
    bare = html.count("<script type=")
    shutil.rmtree(run.folder / "dissections")
    assert bare == page(title="x", answers=report([run.folder])).count("<script type=") + 2
    assert "multiply adds: 40,551,040 multiply-adds of one image" in html


def test_words_of_others_stay_words(run: Run) -> None:
    """Markup in an answer is shown, not obeyed."""
    fact = Fact(name=EVIL, unit=EVIL, value=EVIL)
    rows = (
        LengthRow(
            length=1, paths=1, share_of_paths=1, share_of_weight=1, gradient_norm=1, cosine_to_gradient=1,
            share_of_gradient=1,
        ),
    )  # fmt: skip
    kept(
        run,
        Answer(
            question="paths", title=EVIL, runs=(EVIL,), images=EVIL, facts=(fact,),
            tables=(table(EVIL, LengthRow, rows, note=EVIL),), notes=(EVIL,),
        ),
    )  # fmt: skip
    html = page(title="x", answers=report([run.folder]))
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("damage", ['{"question": 1}', "[]", '{"tables": [{"rows": [[1]]}]}', "{"])
def test_damaged_answers_are_refused(damage: str, run: Run) -> None:
    """With the file in the sentence."""
    (run.folder / "dissections").mkdir()
    (run.folder / "dissections" / "paths.json").write_text(damage, encoding="utf-8")
    with pytest.raises(FolderError, match=r"paths\.json: "):
        list(findings(run))


def test_rows_have_as_many_values_as_columns() -> None:
    """A row that does not is no row, nor is a table of tables."""
    for row in ([1, 2], [[1]]):
        data = to_json(lesion())
        data["tables"][0] = {"title": "", "note": "", "columns": [{"name": "x", "unit": "1"}], "rows": [row]}
        with pytest.raises(FolderError, match="does not hold the answer"):
            from_json(data)
