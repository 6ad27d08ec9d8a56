"""A table: columns with a name and a unit, and rows of values, from which every format is written.

`terminal.text` for a terminal, `markdown.table`, `latex.table`, the macro `sheet` of the page's template for HTML,
`runs.files.csv_text` for CSV, and `to_json` here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, NamedTuple

Cell = str | int | float | None
"""A value; None if it is missing."""

_LONGEST_NUMBER = 10**12
"""Larger whole numbers are rounded in text; JSON has all digits."""


class Column(NamedTuple):
    """A column: name, unit, and the format of its floating-point numbers.

    A column of words has no unit and is aligned left; numbers without a dimension have the unit "1".
    """

    name: str
    unit: str = ""
    digits: str = ".4g"

    @property
    def head(self) -> str:
        """Name and unit in words; the unit is omitted if it is 1 or repeats the name."""
        name = self.name.replace("_", " ") if self.name.isidentifier() else self.name
        return name if self.unit in ("", "1", name) else f"{name} ({self.unit})"

    def text(self, value: Cell) -> str:
        """A value of this column as text."""
        return f"{value:{self.digits}}" if isinstance(value, float) else cell_text(value)


def words(*names: str) -> tuple[Column, ...]:
    """Columns of words."""
    return tuple(map(Column, names))


def numbers(*names: str) -> tuple[Column, ...]:
    """Columns of numbers without a unit."""
    return tuple(Column(name, "1") for name in names)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of values under named columns, with a title and a note."""

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
        return tuple(tuple(map(Column.text, self.columns, row)) for row in self.rows)


def of_unit(unit: str) -> Any:  # noqa: ANN401 - it takes the place of a field's default
    """A dataclass field whose values have this unit."""
    return field(metadata={"unit": unit})


def table(title: str, kind: type[Any], rows: Sequence[Any], *, note: str = "") -> Table:
    """A table of rows of one frozen dataclass, whose fields are the columns."""
    columns = tuple(Column(field.name, field.metadata.get("unit", "")) for field in fields(kind))
    values = tuple(tuple(getattr(row, column.name) for column in columns) for row in rows)
    return Table(title=title, columns=columns, rows=values, note=note)


def grouped(
    title: str, kind: type[Any], groups: Sequence[tuple[dict[str, str], Sequence[Any]]], *, note: str = ""
) -> Table:
    """A table of the rows of several groups, whose first columns name the group."""
    parts = [(tuple(names.values()), table(title, kind, rows)) for names, rows in groups]
    return Table(
        title=title,
        columns=(*words(*groups[0][0]), *parts[0][1].columns),
        rows=tuple((*names, *row) for names, part in parts for row in part.rows),
        note=note,
    )


def select(rows: Table, names: Sequence[str], *, title: str) -> Table:
    """Some columns of a table, in the order of their names."""
    indices = [[column.name for column in rows.columns].index(name) for name in names]
    return Table(
        title=title,
        columns=tuple(rows.columns[index] for index in indices),
        rows=tuple(tuple(row[index] for index in indices) for row in rows.rows),
        note=rows.note,
    )


def cell_text(value: Cell) -> str:
    """A value as text: floats with four digits, integers with separators of thousands, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < _LONGEST_NUMBER else f"{Decimal(value):.3e}"
    return f"{value:.4g}"


def objects(rows: Table) -> list[dict[str, Cell]]:
    """Each row as an object whose keys are the names of the columns."""
    names = [column.name for column in rows.columns]
    return [dict(zip(names, row, strict=True)) for row in rows.rows]


def to_json(rows: Table) -> dict[str, Any]:
    """The table as JSON values with all digits."""
    return {
        "title": rows.title,
        "note": rows.note,
        "columns": [{"name": column.name, "unit": column.unit} for column in rows.columns],
        "rows": [list(row) for row in rows.rows],
    }


def from_json(data: Any) -> Table:  # noqa: ANN401 - JSON has any type
    """The table that `to_json` wrote.

    Raises: KeyError, TypeError or ValueError if the data are not those of a table.
    """
    columns = tuple(Column(str(column["name"]), str(column["unit"])) for column in data["columns"])
    rows = tuple(tuple(map(cell, row)) for row in data["rows"])
    if any(len(row) != len(columns) for row in rows):
        raise ValueError("a row must have as many values as there are columns")
    return Table(title=str(data["title"]), columns=columns, rows=rows, note=str(data["note"]))


def cell(value: object) -> Cell:
    """A value of a file as a value of a table.

    Raises: TypeError for any other value.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} is not a value of a table")
