"""Tables of results as text."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from resatlas.page.table import grid, grid_text
from resatlas.runs.collection import View
from tests.comparing.folders import DEEP, EQUAL, Subject, seal, write_run, write_runs

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("width", [None, 80])
@pytest.mark.parametrize("view", get_args(View))
def test_tables_equal_the_golden_texts(
    tmp_path: Path, view: View, width: int | None, golden: Callable[[Path, str], None]
) -> None:
    """Each view is tested at its natural width and in a narrow terminal."""
    subjects = {"depth": DEEP, "budget": EQUAL, "runs": [(EQUAL[0][0], 2), (EQUAL[2][0], 1)]}[view]
    golden(
        GOLDEN / f"{view}-{width or 'natural'}.txt",
        grid_text(view, [run.record() for run in write_runs(tmp_path, subjects)], width=width),
    )


def test_lines_fit_a_narrow_terminal(tmp_path: Path) -> None:
    """At 80 columns every line fits, and no number is cut."""
    runs = [run.record() for run in write_runs(tmp_path, EQUAL)]
    narrow, natural = (
        grid_text("budget", runs, width=80),
        grid_text("budget", runs),
    )
    assert max(map(len, narrow.splitlines())) <= 80
    assert set("".join(natural.split())) == set("".join(narrow.split()))
    for number in ("84,000", "2,500,000", "2,433"):
        assert narrow.count(number) == natural.count(number)


def test_names_are_not_markup(tmp_path: Path) -> None:
    """Markup of a design is text, control characters are replaced, and folders are shortened."""
    subject = Subject(family="resnet", depth=8)
    names = ("[red]x[/red]", "a\x1b[31mb", "/home/someone/net.toml")
    runs = [
        write_run(tmp_path / f"{place}", subject, seed=0, wrong=[True], design=name) for place, name in enumerate(names)
    ]
    assert [line[0] for line in grid("depth", [run.record() for run in runs]).rows] == [
        "[red]x[/red]",
        "a?[31mb",
        ".../net.toml",
    ]
    assert "[red]x[/red]" in grid_text("depth", [run.record() for run in runs])


def test_a_missing_value_is_a_dash(tmp_path: Path) -> None:
    """A run without validation images has no validation error."""
    run = write_run(tmp_path / "run", Subject(family="resnet", depth=8), seed=0, wrong=[True])
    results = run.folder / "results.json"
    results.write_text(results.read_text().replace('"validation"', '"other"'))
    seal(run.folder)
    assert grid("runs", [run.record()]).cells[0][7] == "–"
