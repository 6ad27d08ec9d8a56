"""What was measured, as a value: rows under named columns with units, for a terminal, for Markdown, for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from resatlas.analysis.answer import Cell, Fact, Table, fact_text, head_of, shown, table_text
from resatlas.runs.environment import environment
from resatlas.runs.files import write_json, write_text
from resatlas.runs.store import check_writable
from resatlas.values.markdown import as_table, as_text


class Shown(NamedTuple):
    """Some of a table's columns under a title of their own: what people read of rows that hold more."""

    title: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The answer to a question of speed.

    `rows` is what --json prints, an object a row, every column of it. `shown` says which columns people read, in one
    table or in several; without it they read all. `further` tables have rows of another kind.
    """

    question: str
    title: str
    rows: Table
    shown: tuple[Shown, ...] = ()
    further: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()


def objects(rows: Table) -> list[dict[str, Cell]]:
    """Each row as an object whose keys are the names of the columns."""
    names = [column.name for column in rows.columns]
    return [dict(zip(names, row, strict=True)) for row in rows.rows]


def to_json(measured: Measured) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "question": measured.question,
        "title": measured.title,
        "units": units(measured.rows),
        "rows": objects(measured.rows),
        "further": [
            {"title": each.title, "note": each.note, "units": units(each), "rows": objects(each)}
            for each in measured.further
        ],
        "facts": [vars(fact) for fact in measured.facts],
        "notes": list(measured.notes),
    }


def units(table: Table) -> dict[str, str]:
    """The unit of every column."""
    return {column.name: column.unit for column in table.columns}


def text(measured: Measured) -> str:
    """It for a terminal."""
    facts = "\n".join(map(fact_text, measured.facts))
    return "\n\n".join([measured.title, *map(table_text, _tables(measured)), facts, *measured.notes])


def markdown(measured: Measured) -> str:
    """It as a Markdown page."""
    tables = [f"{as_text(each.title)}:\n\n{_table(each)}{_note(each)}" for each in _tables(measured)]
    facts = "\n".join(f"- {as_text(fact_text(fact), longest=1000)}" for fact in measured.facts)
    notes = [as_text(note, longest=2000) for note in measured.notes]
    return "\n\n".join([f"# {as_text(measured.title)}", *tables, *notes, facts]) + "\n"


def write(measured: Measured, out: Path) -> None:
    """Leave it as OUT.md and OUT.json.

    Raises: OSError
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(file(out, "md"), markdown(measured))
    write_json(file(out, "json"), to_json(measured))


def check_out(out: Path) -> None:
    """Refuse, before anything is measured, a place where nothing can be written.

    Raises: FolderError
    """
    check_writable(out.parent)


def file(out: Path, ending: str) -> Path:
    """OUT.ending."""
    return out.with_name(f"{out.name}.{ending}")


def here() -> tuple[Fact, ...]:
    """Machine, versions, command and date, as facts."""
    found = environment()
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items() if version)
    told = {
        "processor": found["processor"],
        "cores": found["cores"],
        "system": found["system"],
        "python": found["python"],
        "packages": packages,
        "command": " ".join(found["command"]),
        "date": datetime.now(UTC).date().isoformat(),
    }
    return tuple(Fact(name=name, unit="", value=value) for name, value in told.items())


def select(rows: Table, names: Sequence[str], *, title: str) -> Table:
    """Some columns of a table, in the order of their names."""
    places: Mapping[str, int] = {column.name: k for k, column in enumerate(rows.columns)}
    return Table(
        title=title,
        columns=tuple(rows.columns[places[name]] for name in names),
        rows=tuple(tuple(row[places[name]] for name in names) for row in rows.rows),
        note=rows.note,
    )


def _tables(measured: Measured) -> list[Table]:
    chosen = [select(measured.rows, each.columns, title=each.title) for each in measured.shown]
    return [*(chosen or [measured.rows]), *measured.further]


def _table(each: Table) -> str:
    words = sum(not column.unit for column in each.columns)
    head = tuple(as_text(head_of(column)) for column in each.columns)
    return as_table(head, [tuple(as_text(shown(value)) for value in row) for row in each.rows], words=words)


def _note(each: Table) -> str:
    return f"\n\n{as_text(each.note, longest=2000)}" if each.note else ""
