"""What runs were asked about their insides, on their page."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import vl_convert

from resatlas.analysis.capacity import probe as capacity_of
from resatlas.analysis.lesion import DrawnRow, LesionRow
from resatlas.analysis.paths import LengthRow
from resatlas.analysis.probes import Fact, ProbeResult, result_from_json, result_to_json
from resatlas.comparing.report import report
from resatlas.designs.catalog import plan
from resatlas.errors import FolderError
from resatlas.page.dissection import _told_apart, finding, findings
from resatlas.page.page import page
from resatlas.runs.store import Run
from resatlas.values.table import Column, Table, table
from tests.comparing.folders import EQUAL, write_runs

EVIL = "</script><script>alert(1)</script>"


def kept(run: Run, answer: ProbeResult) -> None:
    """The answer in the folder of a run."""
    (run.folder / "dissections").mkdir(exist_ok=True)
    file = run.folder / "dissections" / f"{answer.question}.json"
    file.write_text(json.dumps(result_to_json(answer)), encoding="utf-8")


def lesion() -> ProbeResult:
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
    return ProbeResult(question="lesion", title="lesions", runs=("r",), images="9 images", tables=tables)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run."""
    return write_runs(tmp_path, [(EQUAL[0][0], 1)])[0]


def test_answers_come_back_from_json() -> None:
    """To JSON and back, an answer is the same."""
    for answer in (lesion(), capacity_of("r", plan("resnet-20"))):
        assert result_from_json(json.loads(json.dumps(result_to_json(answer)))) == answer


def test_charts_hold_the_figures(tmp_path: Path) -> None:
    """Whole units alone are drawn, a line a kind of error, down-sampling ones marked; what has no value is no chart."""
    [spec] = finding(lesion(), tmp_path).specs
    points = {(each["x"], each["line"]): each["value"] for each in spec["datasets"]["values"]}
    assert points == {
        ("a", "error frozen"): 10.0,
        ("a", "error reestimated"): 1.0,
        ("b /2", "error frozen"): 90.0,
        ("b /2", "error reestimated"): 1.0,
    }
    [spec] = finding(capacity_of("r", plan("resnet-20")), tmp_path).specs
    assert len(spec["datasets"]["values"]) == 2 * 11


@pytest.mark.parametrize("units", [3, 27, 54])
def test_units_that_halve_the_map_are_always_labelled(units: int, tmp_path: Path) -> None:
    """However many units there are; others have a label where there is room for it."""
    numbers = dict.fromkeys([name for name in LesionRow.__dataclass_fields__ if "_" in name], 1.0)
    down = {units // 3, 2 * units // 3}
    rows = [
        LesionRow(**{**numbers, "unit": f"u{k}", "stream": "all", "down_sampling": "yes" if k in down else "no"})  # type: ignore[arg-type]
        for k in range(units)
    ]
    tables = (Table(title="contrast", columns=(), rows=()), table("units", LesionRow, rows))
    [spec] = finding(replace(lesion(), tables=tables), tmp_path).specs
    axis = spec["encoding"]["x"]["axis"]
    assert {f"u{k} /2" for k in down} < set(axis["values"])
    assert axis["labelOverlap"] is False
    assert min(units, 10) <= len(axis["values"]) <= 18
    svg = vl_convert.vegalite_to_svg({**spec, "width": 400})
    assert all(f">u{k} /2</text>" in svg for k in down)


def test_the_page_shows_what_was_asked(run: Run) -> None:
    """Facts, charts and tables of each answer stand on the page, in the order of the questions."""
    kept(run, capacity_of("r", plan("resnet-20")))
    kept(run, lesion())
    assert [each.title for each in findings(run.record())] == [
        "lesions: resnet:depth=20,base=9",
        "parameters and multiply-adds along the depth: resnet:depth=20,base=9",
    ]
    html = page(title="x", answers=report([run.folder]))
    assert html.index("lesions: resnet") < html.index("parameters and multiply-adds along the depth: resnet")
    assert "r; 9 images. Frozen: " in html
    bare = html.count("<script type=")
    shutil.rmtree(run.folder / "dissections")
    assert bare == page(title="x", answers=report([run.folder])).count("<script type=") + 2
    assert "multiply adds: 40,551,040 multiply-adds of one image" in html


def test_networks_are_called_by_their_designs(tmp_path: Path) -> None:
    """In titles by design and number, in facts by what is their own; one that is no longer there by its name."""
    runs = write_runs(tmp_path, [(EQUAL[0][0], 2), (EQUAL[1][0], 1)])
    names = tuple(each.name for each in runs)
    facts = tuple(Fact(name=f"loss_of, {name}", unit="nats", value=1.0) for name in names)
    asked = replace(lesion(), runs=(*names, "gone"), facts=facts)
    found = finding(asked, runs[0].folder / "dissections")
    assert found.title.endswith(": resnet:depth=20,base=9 (2 nets), wide-resnet:depth=16,base=8,widen=3/2 and gone")
    assert found.runs == (*names, "gone")
    assert len(set(found.facts)) == 3
    alone = finding(replace(asked, runs=names[:1], facts=facts[:1]), runs[0].folder / "dissections")
    assert alone.facts == ("loss of, the network: 1 nats",)


def test_every_network_that_was_asked_is_counted(tmp_path: Path) -> None:
    """Those beside the first one too."""
    runs = write_runs(tmp_path, [(EQUAL[0][0], 3)])
    kept(runs[0], replace(lesion(), runs=tuple(each.name for each in runs)))
    html = page(title="x", answers=report([each.folder for each in runs]))
    assert "What is inside 3 trained networks" in html


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
        ProbeResult(
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
        list(findings(run.record()))


def test_rows_have_as_many_values_as_columns() -> None:
    """A row that does not is no row, nor is a table of tables."""
    for row in ([1, 2], [[1]]):
        data = result_to_json(lesion())
        data["tables"][0] = {"title": "", "note": "", "columns": [{"name": "x", "unit": "1"}], "rows": [row]}
        with pytest.raises(FolderError, match="does not hold the answer"):
            result_from_json(data)


def test_lines_are_called_by_what_parts_them(tmp_path: Path) -> None:
    """Of long names of runs only the parts that differ, so that a phone shows them."""
    names = [f"digits_size_16-{design}_depth_56-quick-s0-epochs_10" for design in ("resnet", "plain")]
    columns = tuple(
        Column(name, unit) for name, unit in (("run", ""), ("moment", ""), ("number", "1"), ("response_deviation", "1"))
    )
    rows = tuple((name, moment, k, 1.0) for name in names for moment in ("start", "step 9") for k in (1, 2))
    tables = (Table(title="", columns=(), rows=()), Table(title="responses", columns=columns, rows=rows))
    found = finding(ProbeResult(question="flow", title="", runs=tuple(names), images="", tables=tables), tmp_path)
    [spec] = found.specs
    lines = dict.fromkeys(row["line"] for row in spec["datasets"]["values"])
    assert list(lines) == ["resnet, start", "resnet, step 9", "plain, start", "plain, step 9"]


@pytest.mark.parametrize(
    ("names", "own"),
    [
        (("a-b-s0", "a-b-s1"), ["s0", "s1"]),
        (("a_b", "a_b_c"), ["b", "b_c"]),
        (("one",), ["one"]),
        (("x-1-y", "x-2-y", "x-3-y"), ["1", "2", "3"]),
        (("a", "a-b"), ["a", "a-b"]),
        ((), []),
    ],
)
def test_names_are_cut_to_their_own(names: tuple[str, ...], own: list[str]) -> None:
    """Never to nothing."""
    assert list(_told_apart(names).values()) == own
