"""What a question yields: facts and tables whose every value has a name and a unit; free of torch."""

from dataclasses import dataclass
from typing import Any

from resatlas.errors import FolderError
from resatlas.values import terminal
from resatlas.values.table import Cell, Table, cell, cell_text
from resatlas.values.table import from_json as table_from_json
from resatlas.values.table import to_json as table_to_json


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One value."""

    name: str
    unit: str
    value: Cell


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


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "question": answer.question,
        "title": answer.title,
        "runs": list(answer.runs),
        "images": answer.images,
        "facts": [vars(fact) for fact in answer.facts],
        "tables": list(map(table_to_json, answer.tables)),
        "notes": list(answer.notes),
    }


def from_json(data: Any) -> Answer:  # noqa: ANN401 - JSON is what JSON is
    """The answer that `to_json` wrote.

    Raises: FolderError if the data are not those of an answer.
    """
    try:
        return Answer(
            question=str(data["question"]),
            title=str(data["title"]),
            runs=tuple(map(str, data["runs"])),
            images=str(data["images"]),
            facts=tuple(
                Fact(name=str(fact["name"]), unit=str(fact["unit"]), value=cell(fact["value"]))
                for fact in data["facts"]
            ),
            tables=tuple(map(table_from_json, data["tables"])),
            notes=tuple(map(str, data["notes"])),
        )
    except (KeyError, TypeError, ValueError):
        raise FolderError("it does not hold the answer to a question") from None


def text(answer: Answer) -> str:
    """The answer for a terminal."""
    head = f"{', '.join(answer.runs)}: {answer.title} ({answer.images})"
    facts = "\n".join(map(fact_text, answer.facts))
    tables = (terminal.text(table, width=terminal.WIDE) for table in answer.tables)
    return "\n\n".join(part for part in (head, facts, *tables, *answer.notes) if part)


def fact_text(fact: Fact) -> str:
    """A fact as people read it."""
    return f"{fact.name.replace('_', ' ')}: {cell_text(fact.value)} {'' if fact.unit == '1' else fact.unit}".rstrip()
