"""What a question yields: facts and tables whose every value has a name and a unit; free of torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from textwrap import wrap
from typing import Any, NamedTuple

from resatlas.arch.text import aligned
from resatlas.errors import FolderError

Cell = str | int | float | None
"""A value; None where there is none, as the share that a relu cuts has none in a network without that relu."""

NARROWEST = 12
"""Letters to which the head of a column is broken at most."""

LONGEST_NUMBER = 10**12
"""Larger whole numbers are shown by their first digits; JSON has them whole."""


class Column(NamedTuple):
    """A name and a unit; words have no unit."""

    name: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One value."""

    name: str
    unit: str
    value: Cell


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of values under named columns; `note` says what the title does not."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question put to one run or several, on images of one kind: its facts, its tables, and what they do not show."""

    question: str
    title: str
    runs: tuple[str, ...]
    images: str
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


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
    """The rows of several groups in one table; what each group is called stands in columns before its values."""
    names = tuple(Column(name, "") for name in groups[0][0])
    parts = [(tuple(words.values()), table(title, kind, rows)) for words, rows in groups]
    return Table(
        title=title,
        columns=(*names, *parts[0][1].columns),
        rows=tuple((*words, *row) for words, part in parts for row in part.rows),
        note=note,
    )


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "question": answer.question,
        "title": answer.title,
        "runs": list(answer.runs),
        "images": answer.images,
        "facts": [vars(fact) for fact in answer.facts],
        "tables": [
            {
                "title": each.title,
                "note": each.note,
                "columns": [column._asdict() for column in each.columns],
                "rows": [list(row) for row in each.rows],
            }
            for each in answer.tables
        ],
        "notes": list(answer.notes),
    }


def from_json(data: Any) -> Answer:  # noqa: ANN401 - JSON is what JSON is
    """The answer that `to_json` wrote.

    Raises: FolderError if the data are not those of an answer.
    """
    try:
        tables = tuple(
            Table(
                title=str(each["title"]),
                note=str(each["note"]),
                columns=tuple(Column(str(column["name"]), str(column["unit"])) for column in each["columns"]),
                rows=tuple(tuple(map(_cell, row)) for row in each["rows"]),
            )
            for each in data["tables"]
        )
        if any(len(row) != len(each.columns) for each in tables for row in each.rows):
            raise ValueError("a row has as many values as there are columns")
        return Answer(
            question=str(data["question"]),
            title=str(data["title"]),
            runs=tuple(map(str, data["runs"])),
            images=str(data["images"]),
            facts=tuple(
                Fact(name=str(fact["name"]), unit=str(fact["unit"]), value=_cell(fact["value"]))
                for fact in data["facts"]
            ),
            tables=tables,
            notes=tuple(map(str, data["notes"])),
        )
    except (KeyError, TypeError, ValueError):
        raise FolderError("it does not hold the answer to a question") from None


def _cell(value: object) -> Cell:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} is no value of a table")


def text(answer: Answer) -> str:
    """The answer for a terminal."""
    head = f"{', '.join(answer.runs)}: {answer.title} ({answer.images})"
    facts = "\n".join(map(fact_text, answer.facts))
    parts = [head, *([facts] if facts else []), *map(table_text, answer.tables), *answer.notes]
    return "\n\n".join(parts)


def fact_text(fact: Fact) -> str:
    """A fact as people read it."""
    return f"{fact.name.replace('_', ' ')}: {shown(fact.value)} {'' if fact.unit == '1' else fact.unit}".rstrip()


def head_of(column: Column) -> str:
    """Name and unit on one line, without a unit that is 1 or says the same."""
    name = column.name.replace("_", " ")
    return name if column.unit in ("", "1", name) else f"{name} ({column.unit})"


def shown(value: Cell) -> str:
    """A value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < LONGEST_NUMBER else f"{Decimal(value):.3e}"
    return f"{value:.4g}"


def table_text(each: Table) -> str:
    """A table for a terminal: its title, then a line a row; its note."""
    lines = [[shown(value) for value in row] for row in each.rows]
    if not lines:
        return f"{each.title}: nothing"
    words = sum(not column.unit for column in each.columns)
    spans = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    heads = [_head(column, span) for column, span in zip(each.columns, spans, strict=True)]
    height = max(map(len, heads))
    first, *more = zip(*([""] * (height - len(head)) + head for head in heads), strict=True)
    return "\n".join([each.title, aligned(first, [*more, *lines], left=words), *([each.note] if each.note else [])])


def _head(column: Column, span: int) -> list[str]:
    """The name over the unit, unless that is 1 or says the same, broken so that figures stay close together."""
    name = column.name.replace("_", " ")
    unit = "" if column.unit in ("", "1", name) else f"({column.unit})"
    return [line for part in (name, unit) for line in wrap(part, max(span, NARROWEST), break_long_words=False)]
