"""The figures of a question as rows and columns, and as text for a terminal."""

import re
from collections.abc import Sequence
from io import StringIO
from typing import NamedTuple, assert_never

from resatlas.reporting.comparison import Row, Sample, groups, rows
from resatlas.runs.collection import View
from resatlas.runs.record import RunRecord

NATURAL = 10_000
"""Columns of a terminal in which nothing is ever folded."""


class Grid(NamedTuple):
    """A table: its head, its rows, and how many of the first columns are words."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int


def grid(view: View, runs: Sequence[RunRecord]) -> Grid:
    """The figures that a view shows: a line a design, or a line a run.

    Raises: FolderError if a run has no results.
    """
    shown = rows([(run,) for run in runs] if view == "runs" else groups(runs))
    match view:
        case "depth":
            return Grid(
                ("design", "depth", "seeds", "parameters", "training loss", "test error, %"),
                tuple((each.design, f"{each.depth}", *_size(each), *_outcome(each)) for each in shown),
                words=1,
            )
        case "budget":
            head = ("design", "seeds", "parameters", "multiply-adds", "depth", "mean path length", "training loss")
            return Grid(
                (*head, "test error, %", "images/s"),
                tuple(
                    (
                        each.design,
                        *_size(each),
                        f"{each.multiply_adds:,}",
                        f"{each.depth}",
                        f"{each.mean_path_length:.2f}",
                        *_outcome(each),
                        f"{each.images_per_second:,.0f}",
                    )
                    for each in shown
                ),
                words=1,
            )
        case "runs":
            head = ("design", "data", "recipe", "epochs", "seed", "parameters", "training loss", "validation error, %")
            return Grid((*head, "test error, %", "seconds"), tuple(map(_run, shown)), words=3)
        case _:
            assert_never(view)


def table(view: View, runs: Sequence[RunRecord], *, width: int | None = None) -> str:
    """The grid as plain text, a line a row; for a terminal's width its head, then its cells are broken as needed.

    No figure is ever cut: a terminal narrower than the narrowest form wraps the lines itself.
    Raises: FolderError if a run has no results.
    """
    cells = grid(view, runs)
    text = ""
    headed = _head_broken(cells)
    for form, gap in (
        (cells, 2),
        (headed, 2),
        (_figures_broken(headed), 1),
        (_words_broken(_figures_broken(headed)), 1),
    ):
        text = _text(form, gap)
        if width is None or max(map(len, text.splitlines())) <= width:
            break
    return text


def with_deviation(sample: Sample | None, digits: str) -> str:
    """Mean ± standard deviation; the mean alone for a single seed; a dash for nothing."""
    if sample is None:
        return "–"
    spread = "" if sample.deviation is None else f" ± {sample.deviation:{digits}}"
    return f"{sample.mean:{digits}}{spread}"


def _head_broken(cells: Grid) -> Grid:
    return cells._replace(head=tuple(re.sub(r" (?!%)|(?<=-)|(?=/)", "\n", head) for head in cells.head))


def _figures_broken(cells: Grid) -> Grid:
    """Means above their deviations."""
    return cells._replace(rows=tuple(tuple(cell.replace(" ±", "\n±") for cell in line) for line in cells.rows))


def _words_broken(cells: Grid) -> Grid:
    """Designs and data sets broken after each knob."""
    words = cells.words
    broken = ((*(re.sub(r"(?<=[:,])", "\n ", cell) for cell in line[:words]), *line[words:]) for line in cells.rows)
    return cells._replace(rows=tuple(broken))


def _text(cells: Grid, gap: int) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    sheet = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for place, head in enumerate(cells.head):
        sheet.add_column(Text(head), justify="left" if place < cells.words else "right", no_wrap=True)
    for line in cells.rows:
        sheet.add_row(*(Text(cell) for cell in line))
    text = StringIO()
    # colours off and the width fixed, whatever the surroundings say: the text is the same in a file and on a screen
    Console(file=text, width=NATURAL, color_system=None, force_terminal=False, legacy_windows=False).print(sheet)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _size(shown: Row) -> tuple[str, str]:
    return f"{len(shown.seeds)}", f"{shown.parameters:,}"


def _outcome(shown: Row) -> tuple[str, str]:
    return with_deviation(shown.train_loss, ".4f"), with_deviation(shown.test_error_percent, ".2f")


def _run(shown: Row) -> tuple[str, ...]:
    return (
        shown.design,
        shown.data,
        shown.recipe,
        f"{shown.epochs}",
        ", ".join(map(str, shown.seeds)),
        f"{shown.parameters:,}",
        with_deviation(shown.train_loss, ".4f"),
        with_deviation(shown.validation_error_percent, ".2f"),
        with_deviation(shown.test_error_percent, ".2f"),
        f"{shown.seconds:,.1f}",
    )
