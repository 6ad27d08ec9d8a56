"""The result of a benchmark: rows under named columns with units, rendered as text, Markdown or JSON."""

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


class View(NamedTuple):
    """A selection of a table's columns with its own title, for readers."""

    title: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The result of a benchmark.

    --json prints all columns of `rows`, one object per row. `views` select the columns for readers, as one table or
    several; without them all columns are printed. `further` tables have rows of another kind. `warning` says why the
    figures cannot be quoted, if so.
    """

    question: str
    title: str
    rows: Table
    views: tuple[View, ...] = ()
    further: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    warning: str | None = None


def to_json(measured: Measured) -> dict[str, Any]:
    """The result as JSON values."""
    return {
        "question": measured.question,
        "title": measured.title,
        "units": units(measured.rows),
        "rows": objects(measured.rows),
        "further": [
            {"title": further.title, "note": further.note, "units": units(further), "rows": objects(further)}
            for further in measured.further
        ],
        "facts": [vars(fact) for fact in measured.facts],
        "notes": list(_notes(measured)),
    }


def units(table: Table) -> dict[str, str]:
    """The unit of every column."""
    return {column.name: column.unit for column in table.columns}


def text(measured: Measured) -> str:
    """Render as text."""
    facts = "\n".join(map(fact_text, measured.facts))
    tables = (terminal.text(table, width=terminal.WIDE) for table in _tables(measured))
    return "\n\n".join([measured.title, *tables, facts, *_notes(measured)])


def markdown(measured: Measured) -> str:
    """Render as a Markdown page."""
    tables = [
        "\n\n".join(
            [f"{as_text(part.title)}:", table(part), *([as_text(part.note, longest=2000)] if part.note else [])]
        )
        for part in _tables(measured)
    ]
    facts = "\n".join(f"- {as_text(fact_text(fact), longest=1000)}" for fact in measured.facts)
    notes = [as_text(note, longest=2000) for note in _notes(measured)]
    return "\n\n".join([f"# {as_text(measured.title)}", *tables, *notes, facts]) + "\n"


def _notes(measured: Measured) -> tuple[str, ...]:
    """The notes, the warning first."""
    return measured.notes if measured.warning is None else (measured.warning, *measured.notes)


def write(measured: Measured, out: Path) -> None:
    """Write OUT.md and OUT.json.

    Raises: OSError
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(file(out, "md"), markdown(measured))
    write_json(file(out, "json"), to_json(measured))


def check_out(out: Path) -> None:
    """Check, before anything is measured, that the files can be written.

    Raises: FolderError
    """
    check_writable(out.parent)


def file(out: Path, ending: str) -> Path:
    """OUT.ending."""
    return out.with_name(f"{out.name}.{ending}")


def environment_facts() -> tuple[Fact, ...]:
    """Machine, versions, command and date."""
    recorded = environment()
    packages = ", ".join(f"{name} {version}" for name, version in recorded["packages"].items() if version)
    values = {
        "processor": recorded["processor"],
        "cores": recorded["cores"],
        "system": recorded["system"],
        "python": recorded["python"],
        "packages": packages,
        "command": " ".join(recorded["command"]),
        "date": datetime.now(UTC).date().isoformat(),
    }
    return tuple(Fact(name=name, unit="", value=value) for name, value in values.items())


def _tables(measured: Measured) -> list[Table]:
    chosen = [select(measured.rows, view.columns, title=view.title) for view in measured.views]
    return [*(chosen or [measured.rows]), *measured.further]
