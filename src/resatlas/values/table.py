"""A table: columns with a name and a unit, rows of values; every format is written from it.

`terminal.text` for a terminal, `markdown.table`, `latex.table`, the macro `sheet` of the page's template for HTML,
`runs.files.csv_text` for CSV, and here JSON.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, NamedTuple

Cell = str | int | float | None
"""A value; None where there is none."""

LONGEST_NUMBER = 10**12
"""Larger whole numbers are shown by their first digits; JSON has them whole."""


class Column(NamedTuple):
    """A name, a unit, and the format of numbers that are not whole.

    A column of words has no unit and stands flush left; a number without a dimension has the unit "1".
    """

    name: str
    unit: str = ""
    digits: str = ".4g"

    @property
    def head(self) -> str:
        """Name and unit on one line, without a unit that is 1 or repeats the name; the name of a field as words."""
        name = self.name.replace("_", " ") if self.name.isidentifier() else self.name
        return name if self.unit in ("", "1", name) else f"{name} ({self.unit})"

    def shown(self, value: Cell) -> str:
        """A value of this column as text."""
        return f"{value:{self.digits}}" if isinstance(value, float) else shown(value)


def words(*names: str) -> tuple[Column, ...]:
    """Columns of words."""
    return tuple(map(Column, names))


def numbers(*names: str) -> tuple[Column, ...]:
    """Columns of numbers whose names say all."""
    return tuple(Column(name, "1") for name in names)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of values under named columns; `note` says what the title does not."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    note: str = ""

    @property
    def head(self) -> tuple[str, ...]:
        """The heads of the columns."""
        return tuple(column.head for column in self.columns)

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """The values as text."""
        return tuple(tuple(map(Column.shown, self.columns, row)) for row in self.rows)


def of_unit(unit: str) -> Any:  # noqa: ANN401 - it stands where a field's default does
    """A field of a row whose values have this unit."""
    return field(metadata={"unit": unit})


def table(title: str, kind: type[Any], rows: Sequence[Any], *, note: str = "") -> Table:
    """The rows, all of one frozen dataclass, as a table whose columns are its fields."""
    columns = tuple(Column(each.name, each.metadata.get("unit", "")) for each in fields(kind))
    values = tuple(tuple(getattr(row, column.name) for column in columns) for row in rows)
    return Table(title=title, columns=columns, rows=values, note=note)


def gathered(
    title: str, kind: type[Any], groups: Sequence[tuple[dict[str, str], Sequence[Any]]], *, note: str = ""
) -> Table:
    """The rows of several groups in one table; columns before their values name the group."""
    parts = [(tuple(names.values()), table(title, kind, rows)) for names, rows in groups]
    return Table(
        title=title,
        columns=(*words(*groups[0][0]), *parts[0][1].columns),
        rows=tuple((*names, *row) for names, part in parts for row in part.rows),
        note=note,
    )


def select(rows: Table, names: Sequence[str], *, title: str) -> Table:
    """Some columns of a table, in the order of their names."""
    places = [[column.name for column in rows.columns].index(name) for name in names]
    return Table(
        title=title,
        columns=tuple(rows.columns[place] for place in places),
        rows=tuple(tuple(row[place] for place in places) for row in rows.rows),
        note=rows.note,
    )


def shown(value: Cell) -> str:
    """A value as text: four digits of a measure, thousands of a count apart, a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < LONGEST_NUMBER else f"{Decimal(value):.3e}"
    return f"{value:.4g}"


def objects(rows: Table) -> list[dict[str, Cell]]:
    """Each row as an object whose keys are the names of the columns."""
    names = [column.name for column in rows.columns]
    return [dict(zip(names, row, strict=True)) for row in rows.rows]


def to_json(rows: Table) -> dict[str, Any]:
    """The table as JSON values, every value whole."""
    return {
        "title": rows.title,
        "note": rows.note,
        "columns": [{"name": column.name, "unit": column.unit} for column in rows.columns],
        "rows": [list(row) for row in rows.rows],
    }


def from_json(data: Any) -> Table:  # noqa: ANN401 - JSON is what JSON is
    """The table that `to_json` wrote.

    Raises: KeyError, TypeError or ValueError if the data are not those of a table.
    """
    columns = tuple(Column(str(column["name"]), str(column["unit"])) for column in data["columns"])
    rows = tuple(tuple(map(cell, row)) for row in data["rows"])
    if any(len(row) != len(columns) for row in rows):
        raise ValueError("a row has as many values as there are columns")
    return Table(title=str(data["title"]), columns=columns, rows=rows, note=str(data["note"]))


def cell(value: object) -> Cell:
    """A value that a file holds, as one of a table.

    Raises: TypeError for any other value.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} is not a value of a table")
