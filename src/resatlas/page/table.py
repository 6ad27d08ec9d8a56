"""The results of runs as a table, and as text for a terminal."""

from collections.abc import Sequence
from typing import assert_never

from resatlas.comparing.rows import Row, Sample, group_runs, rows_of
from resatlas.runs.collection import View
from resatlas.runs.record import RunRecord
from resatlas.values import terminal
from resatlas.values.language import known
from resatlas.values.table import Cell, Column, Table, numbers, words

_OUTCOME = (*numbers("training loss"), Column("test error", "%"))


def grid(view: View, runs: Sequence[RunRecord]) -> Table:
    """The results that a view shows, with a row per design, or per run.

    Raises: FolderError if a run has no results.
    """
    results = rows_of([(run,) for run in runs] if view == "runs" else group_runs(runs))
    match view:
        case "depth":
            return Table(
                columns=(*words("design"), *numbers("depth", "seeds", "parameters"), *_OUTCOME),
                rows=tuple((row.design, row.depth, *_size(row), *_outcome(row)) for row in results),
            )
        case "budget":
            costs = numbers("seeds", "parameters", "multiply-adds", "depth")
            path = Column("mean path length", "1", ".2f")
            return Table(
                columns=(*words("design"), *costs, path, *_OUTCOME, Column("images/s", "1", ",.0f")),
                rows=tuple(
                    (
                        *(row.design, *_size(row), row.multiply_adds, row.depth, row.mean_path_length),
                        *(*_outcome(row), row.images_per_second),
                    )
                    for row in results
                ),
            )
        case "runs":
            loss, error = _OUTCOME
            settings = (*words("design", "data", "recipe"), *numbers("epochs", "seed", "parameters"))
            measured = (loss, Column("validation error", "%"), error, Column("seconds", "1", ",.1f"))
            return Table(columns=(*settings, *measured), rows=tuple(map(_run, results)))
        case _:
            assert_never(view)


def grid_text(view: View, runs: Sequence[RunRecord], *, width: int | None = None) -> str:
    """The grid as plain text, with lines that fit the width of a terminal.

    Raises: FolderError if a run has no results.
    """
    return terminal.aligned(grid(view, runs), width=width)


def head_of(column: Column) -> str:
    """The head of a column, in the language of the page."""
    return column._replace(name=known(column.name), unit=known(column.unit)).head


def with_deviation(sample: Sample | None, digits: str) -> str | None:
    """Mean ± standard deviation; the mean alone for a single seed."""
    if sample is None:
        return None
    spread = "" if sample.deviation is None else f" ± {sample.deviation:{digits}}"
    return f"{sample.mean:{digits}}{spread}"


def _size(row: Row) -> tuple[Cell, ...]:
    return len(row.seeds), row.parameters


def _outcome(row: Row) -> tuple[Cell, ...]:
    return with_deviation(row.train_loss, ".4f"), with_deviation(row.test_error_percent, ".2f")


def _run(row: Row) -> tuple[Cell, ...]:
    return (
        *(row.design, row.data, row.recipe, row.epochs, ", ".join(map(str, row.seeds)), row.parameters),
        with_deviation(row.train_loss, ".4f"),
        with_deviation(row.validation_error_percent, ".2f"),
        with_deviation(row.test_error_percent, ".2f"),
        row.seconds,
    )
