"""Results of probes on the page."""

import json
import re
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import vl_convert

from resatlas.analysis.capacity import probe as capacity_of
from resatlas.analysis.lesion import DrawnRow, LesionRow
from resatlas.analysis.paths import LengthRow
from resatlas.analysis.probes import Fact, ProbeResult, result_from_json, result_to_json
from resatlas.comparing.run_sets import read_run_sets
from resatlas.designs.catalog import plan
from resatlas.errors import FolderError
from resatlas.page.dissection import _short_names, finding, findings
from resatlas.page.page import page
from resatlas.page.table import head_of
from resatlas.runs.store import Run
from resatlas.values.language import in_language
from resatlas.values.table import Column, Table, table
from tests.comparing.folders import EQUAL, write_runs
from tests.page import probed

EVIL = "</script><script>alert(1)</script>"


def write_result(run: Run, result: ProbeResult) -> None:
    """Write a result into the folder of a run."""
    (run.folder / "dissections").mkdir(exist_ok=True)
    file = run.folder / "dissections" / f"{result.question}.json"
    file.write_text(json.dumps(result_to_json(result)), encoding="utf-8")


def lesion() -> ProbeResult:
    """A result with two units."""
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


def test_results_are_read_back_from_json() -> None:
    """A result is equal after a conversion to JSON and back."""
    for result in (lesion(), capacity_of("r", plan("resnet-20"))):
        assert result_from_json(json.loads(json.dumps(result_to_json(result)))) == result


def test_charts_hold_the_figures(tmp_path: Path) -> None:
    """Only whole units are drawn, with a line per error; down-sampling units are marked; empty charts are left out."""
    [spec] = finding(lesion(), tmp_path).specs
    points = {(point["x"], point["line"]): point["value"] for point in spec["datasets"]["values"]}
    assert points == {
        ("a", "error, BN kept"): 10.0,
        ("a", "error, BN re-estimated"): 1.0,
        ("b /2", "error, BN kept"): 90.0,
        ("b /2", "error, BN re-estimated"): 1.0,
    }
    [spec] = finding(capacity_of("r", plan("resnet-20")), tmp_path).specs
    assert len(spec["datasets"]["values"]) == 2 * 11


@pytest.mark.parametrize("units", [3, 27, 54])
def test_down_sampling_units_are_always_labelled(units: int, tmp_path: Path) -> None:
    """Down-sampling units have labels for any number of units; others have a label if it fits."""
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


def test_the_page_shows_all_results(run: Run) -> None:
    """Facts, charts and tables of each result are on the page, in the order of the probes."""
    write_result(run, capacity_of("r", plan("resnet-20")))
    write_result(run, lesion())
    assert [result.title for result in findings(run.record())] == [
        "lesions: resnet:depth=20,base=9",
        "parameters and multiply-adds along the depth: resnet:depth=20,base=9",
    ]
    html = page(title="x", run_sets=read_run_sets([run.folder]))
    assert html.index("lesions: resnet") < html.index("parameters and multiply-adds along the depth: resnet")
    assert "r; 9 images. BN kept: " in html
    bare = html.count("<script type=")
    shutil.rmtree(run.folder / "dissections")
    assert bare == page(title="x", run_sets=read_run_sets([run.folder])).count("<script type=") + 2
    assert "multiply adds: 40,551,040 multiply-adds of one image" in html


def test_networks_are_named_after_their_designs(tmp_path: Path) -> None:
    """Titles have designs and numbers of networks, facts have short names; a missing run has its own name."""
    runs = write_runs(tmp_path, [(EQUAL[0][0], 2), (EQUAL[1][0], 1)])
    names = tuple(run.name for run in runs)
    facts = tuple(Fact(name=f"loss_of, {name}", unit="nats", value=1.0) for name in names)
    result = replace(lesion(), runs=(*names, "gone"), facts=facts)
    shown = finding(result, runs[0].folder / "dissections")
    assert shown.title.endswith(": resnet:depth=20,base=9 (2 networks), wide-resnet:depth=16,base=8,widen=3/2 and gone")
    assert shown.runs == (*names, "gone")
    assert len(set(shown.facts)) == 3
    single = finding(replace(result, runs=names[:1], facts=facts[:1]), runs[0].folder / "dissections")
    assert single.facts == ("loss of, the network: 1 nats",)


def test_all_probed_networks_are_counted(tmp_path: Path) -> None:
    """Further runs of a probe are counted too."""
    runs = write_runs(tmp_path, [(EQUAL[0][0], 3)])
    write_result(runs[0], replace(lesion(), runs=tuple(run.name for run in runs)))
    html = page(title="x", run_sets=read_run_sets([run.folder for run in runs]))
    assert "The inside of 3 trained networks. These results hold for these networks only." in html


def test_markup_is_escaped(run: Run) -> None:
    """Markup in a result is shown as text."""
    fact = Fact(name=EVIL, unit=EVIL, value=EVIL)
    rows = (
        LengthRow(
            length=1, paths=1, share_of_paths=1, share_of_weight=1, gradient_norm=1, cosine_to_gradient=1,
            share_of_gradient=1,
        ),
    )  # fmt: skip
    write_result(
        run,
        ProbeResult(
            question="paths", title=EVIL, runs=(EVIL,), images=EVIL, facts=(fact,),
            tables=(table(EVIL, LengthRow, rows, note=EVIL),), notes=(EVIL,),
        ),
    )  # fmt: skip
    html = page(title="x", run_sets=read_run_sets([run.folder]))
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("damage", ['{"question": 1}', "[]", '{"tables": [{"rows": [[1]]}]}', "{"])
def test_damaged_results_are_refused(damage: str, run: Run) -> None:
    """The message names the file."""
    (run.folder / "dissections").mkdir()
    (run.folder / "dissections" / "paths.json").write_text(damage, encoding="utf-8")
    with pytest.raises(FolderError, match=r"paths\.json: "):
        list(findings(run.record()))


def test_rows_have_as_many_values_as_columns() -> None:
    """A row with another number of values is refused, and so is a table of tables."""
    for row in ([1, 2], [[1]]):
        data = result_to_json(lesion())
        data["tables"][0] = {"title": "", "note": "", "columns": [{"name": "x", "unit": "1"}], "rows": [row]}
        with pytest.raises(FolderError, match="this is not a result of resatlas dissect"):
            result_from_json(data)


def test_lines_have_short_names(tmp_path: Path) -> None:
    """The names of lines have only the parts of run names that differ, so that they fit on a phone."""
    names = [f"digits_size_16-{design}_depth_56-quick-s0-epochs_10" for design in ("resnet", "plain")]
    columns = tuple(
        Column(name, unit) for name, unit in (("run", ""), ("moment", ""), ("number", "1"), ("response_deviation", "1"))
    )
    rows = tuple((name, moment, k, 1.0) for name in names for moment in ("start", "step 9") for k in (1, 2))
    tables = (Table(title="", columns=(), rows=()), Table(title="responses", columns=columns, rows=rows))
    shown = finding(ProbeResult(question="flow", title="", runs=tuple(names), images="", tables=tables), tmp_path)
    [spec] = shown.specs
    lines = dict.fromkeys(row["line"] for row in spec["datasets"]["values"])
    assert list(lines) == ["resnet, start", "resnet, step 9", "plain, start", "plain, step 9"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("a-b-s0", "a-b-s1"), ["s0", "s1"]),
        (("a_b", "a_b_c"), ["b", "b_c"]),
        (("one",), ["one"]),
        (("x-1-y", "x-2-y", "x-3-y"), ["1", "2", "3"]),
        (("a", "a-b"), ["a", "a-b"]),
        ((), []),
    ],
)
def test_short_names_differ(names: tuple[str, ...], short: list[str]) -> None:
    """Names lose the parts that all share, and no name becomes empty."""
    assert list(_short_names(names).values()) == short


@pytest.mark.parametrize(
    "result",
    [
        probed.paths("q-s0"),
        probed.flow(["q-s0", "q-s1"]),
        probed.lesion(["q-s0"], "plain"),
        probed.lesion(["q-s0", "q-s1"], "plain"),
        probed.streams("q-s0"),
    ],
    ids=lambda result: result.question,
)
def test_results_of_the_demo_are_in_chinese(result: ProbeResult, tmp_path: Path) -> None:
    """Facts, charts, tables and notes have no English words but names."""
    with in_language("zh"):
        own = finding(result, tmp_path)
        heads = [head_of(column) for table in own.tables for column in table.columns]
    charts = [[spec["usermeta"]["title"], spec["usermeta"]["how"]] for spec in own.specs]
    words = [own.title, own.images, own.reading, *own.facts, *own.notes, *heads, *chain.from_iterable(charts)]
    words += [text for table in own.tables for text in (table.title, table.note)]
    known_names = re.compile(r"stages|plain|q-s[01]|--beside|ReLU|BN|nat")
    assert [text for text in words if re.search(r"[A-Za-z]{3,}", known_names.sub("", text))] == []
