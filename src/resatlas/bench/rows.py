"""What was measured, as a value: rows under named columns with units, for a terminal, for Markdown, for JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from resatlas.analysis.probes import Fact, fact_text
from resatlas.runs.environment import environment
from resatlas.runs.files import write_json, write_text
from resatlas.runs.store import check_writable
from resatlas.values import terminal
from resatlas.values.markdown import as_text, table
from resatlas.values.table import Table, objects, select


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
    tables = (terminal.text(table, width=terminal.WIDE) for table in _tables(measured))
    return "\n\n".join([measured.title, *tables, facts, *measured.notes])


def markdown(measured: Measured) -> str:
    """It as a Markdown page."""
    tables = [
        "\n\n".join(
            [f"{as_text(each.title)}:", table(each), *([as_text(each.note, longest=2000)] if each.note else [])]
        )
        for each in _tables(measured)
    ]
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


def _tables(measured: Measured) -> list[Table]:
    chosen = [select(measured.rows, each.columns, title=each.title) for each in measured.shown]
    return [*(chosen or [measured.rows]), *measured.further]
