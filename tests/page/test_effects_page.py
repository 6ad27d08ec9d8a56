"""A factorial question on the page and in a terminal: claims of effects in place of verdicts on pairs."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.cli.studying import _text
from resatlas.comparing.comparison import compare_run_set
from resatlas.comparing.factorial import factorial
from resatlas.comparing.run_sets import RunSet, read_run_sets
from resatlas.page.effects_text import claims, details, remarks, tables
from resatlas.page.page import page, page_figures
from resatlas.runs.collection import Collection, write_collection
from resatlas.values.text import capitalised
from tests.comparing.folders import NOTE
from tests.comparing.planted import CELLS, DISTINCT, write_factorial
from tests.page.test_page import EVIL, Reader, check_translated

ABOUT = "Three parts of a network at two levels each."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with planted effects and an introduction."""
    place = tmp_path_factory.mktemp("planted")
    question = replace(write_factorial(place, designs=DISTINCT).question, about=ABOUT)
    write_collection(place, Collection(name="planted", questions=(question,)))
    return place


@pytest.fixture(scope="module")
def study(folder: Path) -> RunSet:
    """The question with its runs."""
    [run_set] = read_run_sets([folder])
    return run_set


@pytest.fixture(scope="module")
def html(study: RunSet) -> str:
    """Its page."""
    return page(title="planted", run_sets=[study])


def test_the_answer_is_that_of_the_effects(study: RunSet, html: str) -> None:
    """The claims come first, then the introduction; pairs of cells have no verdict."""
    text, analysis = Reader(html).text, factorial(study)
    places = [text.index(words) for words in (*claims(analysis), ABOUT)]
    assert places == sorted(places)
    assert len(list(claims(analysis))) == 2
    assert compare_run_set(study).pairs == ()
    for words in ("Regardless of cost", "At equal budgets", "All differences", "No verdict"):
        assert words not in text


def test_the_page_has_charts_tables_and_notes_of_the_effects(study: RunSet, html: str) -> None:
    """The charts of the effects come before the others; tables of the charts' numbers are folded."""
    text, analysis = Reader(html).text, factorial(study)
    names = [figure.name for figure in page_figures([study])]
    assert names[:5] == ["f-effects", "f-half-normal", "f-interaction-streams-unit", "f-residuals", "f-test-error"]
    assert re.findall(r'data-chart="chart-([^"]*)"', html) == names
    assert analysis.covariate is not None
    for table in (*tables(analysis), *details(analysis)):
        assert table.title in text
        assert table.note in text
        assert all("".join(row) in text for row in table.cells)
    assert all(note in text for note in remarks(analysis))


def test_the_effects_are_in_chinese(study: RunSet, html: str) -> None:
    """The page has no English sentence but those of the study."""
    chinese = page(title="planted", run_sets=[study], language="zh")
    own = (ABOUT, study.question.title, capitalised(NOTE), NOTE)
    check_translated(chinese, html, own=own)


def test_what_the_page_shows_is_about_effects(html: str) -> None:
    """It says what a missing claim means, and nothing about pairs of designs."""
    text = Reader(html).text
    assert "“Which part?”: the effects of 3 factors and of their pairs on test error, from 8 cells and 3 blocks" in text
    assert "That an effect without a claim is zero" in text
    assert "That one design has a lower error than another" not in text


def test_a_missing_analysis_has_its_reason(study: RunSet) -> None:
    """The page of a study without a complete block says why, and has the runs that are finished."""
    kept = tuple(run for run in study.runs if not run.name.startswith("+++"))
    unfinished = tuple(f"+++-{seed}: stopped" for seed in study.question.cells[0].seeds)
    text = Reader(page(title="planted", run_sets=[RunSet(study.question, kept, unfinished)])).text
    assert "No effects: question f: no block is complete; block of seed 0 left out: 1 of 8 runs not finished;" in text
    assert "resnet:depth=20,base=8" in text
    assert "not finished, so not shown +++-0: stopped" in text
    assert "the effects of 3 factors" not in text


def test_an_incomplete_block_is_named(study: RunSet) -> None:
    """The effects are those of the other blocks, and a note says so."""
    kept = tuple(run for run in study.runs if run.name != "+++-1")
    text = Reader(page(title="planted", run_sets=[RunSet(study.question, kept, ("+++-1: stopped",))])).text
    assert "8 cells, 2 blocks (seeds 0, 2)." in text
    assert "block of seed 1 left out: 1 of 8 runs not finished" in text


def test_a_copied_network_is_not_analysed(tmp_path: Path) -> None:
    """Two cells of one network are one training, whatever their names."""
    text = Reader(page(title="planted", run_sets=[write_factorial(tmp_path)])).text
    assert "No verdict: " in text
    assert "a copy does not count as another network" in text


def test_names_of_factors_are_text(study: RunSet) -> None:
    """Markup in names and levels of factors is escaped in sentences, tables and charts."""
    factors = tuple(replace(factor, name=f"{EVIL}{k}", plus=EVIL) for k, factor in enumerate(study.question.factors))
    run_set = study._replace(question=replace(study.question, factors=factors))
    text = page(title="planted", run_sets=[run_set])
    assert f"{EVIL}0, doubling to {EVIL}: +" in Reader(text).text
    assert "<script>alert" not in text


def test_equal_runs_give_equal_pages(study: RunSet, html: str) -> None:
    """The pages are equal byte by byte."""
    assert page(title="planted", run_sets=[study]) == html


def test_report_takes_a_factorial_study(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the page, and the charts of the effects as pictures."""
    out = tmp_path / "page.html"
    assert main(("report", str(folder), "--out", str(out), "--figures", str(tmp_path / "figures"), "--quiet")) == 0
    assert "f-half-normal" in out.read_text(encoding="utf-8")
    for name in ("f-effects", "f-half-normal", "f-interaction-streams-unit", "f-residuals"):
        assert (tmp_path / "figures" / f"{name}.svg").stat().st_size > 1_000
        assert (tmp_path / "figures" / f"{name}.png").is_file()
    assert capsys.readouterr().err == ""


def test_a_study_prints_the_claims(study: RunSet) -> None:
    """The output of `resatlas study` has the claims after the table, then the notes; none of the 28 pairs of cells."""
    text = _text(study)
    analysis = factorial(study)
    assert text.startswith(f"Which part?\n{ABOUT} All results are those after 12 epochs of training.\n\n")
    assert "\n\n" + "\n".join(claims(analysis)) + "\n\n" in text
    assert all(f"- {note}\n" in text for note in remarks(analysis))
    assert "- all effects with their intervals: `resatlas effects` with the folder of the study" in text
    assert "Regardless of cost" not in text
    assert len(CELLS) * 3 == text.count("digits:size=16")
