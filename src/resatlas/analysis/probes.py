"""Probes: the analyses of trained networks, and the form of their results; free of torch.

A probe answers one question; its name is the QUESTION of `resatlas dissect`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from resatlas.errors import FolderError
from resatlas.values import terminal
from resatlas.values.language import known, said
from resatlas.values.table import Cell, Table, cell, cell_text
from resatlas.values.table import from_json as table_from_json
from resatlas.values.table import to_json as table_to_json

FOLDER = "dissections"
"""Folder inside a run's folder with a QUESTION.json for each result, and pictures."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe shows, and whether it takes further runs beside the first one."""

    words: str
    beside: Literal["none", "any"]


PROBES: Mapping[str, Probe] = {
    "lesion": Probe(words="error without one unit, without several, and with units in another order", beside="any"),
    "paths": Probe(words="paths by length: their number, their weight, the exact gradient", beside="none"),
    "flow": Probe(words="responses, gradients and ReLU zeros along the depth", beside="any"),
    "streams": Probe(words="how much streams differ, and the effect of other skip matrices", beside="any"),
    "similarity": Probe(words="linear CKA between the units of one network, or of two", beside="any"),
    "surface": Probe(words="the loss around the trained network", beside="none"),
    "capacity": Probe(words="parameters and multiply-adds along the depth", beside="none"),
    "explain": Probe(words="the most confident errors on test images, with Grad-CAM heat maps", beside="none"),
}
"""All probes by name."""


_LABELS: Mapping[str, str] = {
    "loss_frozen": "loss, BN kept",
    "loss_reestimated": "loss, BN re-estimated",
    "error_percent": "error",
    "error_whole": "error of the whole network",
    "error_frozen": "error, BN kept",
    "error_reestimated": "error, BN re-estimated",
    "error_increase_frozen": "error increase, BN kept",
    "error_increase_reestimated": "error increase, BN re-estimated",
    "contrast_frozen": "extra error, BN kept",
    "contrast_reestimated": "extra error, BN re-estimated",
    "error_frozen_lowest": "lowest error, BN kept",
    "error_frozen_median": "median error, BN kept",
    "error_frozen_highest": "highest error, BN kept",
    "error_reestimated_median": "median error, BN re-estimated",
    "share_of_sums_cut": "share of activations zeroed by ReLU",
}
"""What a reader sees instead of the names of some columns; files keep the names."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One value with its name and unit."""

    name: str
    unit: str
    value: Cell


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """The result of a probe of one run or several: facts, tables, and notes on what they do not show.

    `question` is the name of the probe, `images` describes the images that it used.
    """

    question: str
    title: str
    runs: tuple[str, ...]
    images: str
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def result_to_json(result: ProbeResult) -> dict[str, Any]:
    """The result as JSON values."""
    return {
        "question": result.question,
        "title": result.title,
        "runs": list(result.runs),
        "images": result.images,
        "facts": [vars(fact) for fact in result.facts],
        "tables": list(map(table_to_json, result.tables)),
        "notes": list(result.notes),
    }


def result_from_json(data: Any) -> ProbeResult:  # noqa: ANN401 - JSON is what JSON is
    """The result that `result_to_json` wrote.

    Raises: FolderError if the data are not the result of a probe.
    """
    try:
        return ProbeResult(
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
        raise FolderError("this is not a result of resatlas dissect") from None


def result_text(result: ProbeResult) -> str:
    """The result for a terminal."""
    head = f"{', '.join(result.runs)}: {result.title} ({result.images})"
    facts = "\n".join(map(fact_text, result.facts))
    tables = (terminal.text(labelled(table), width=terminal.WIDE) for table in result.tables)
    return "\n\n".join(part for part in (head, facts, *tables, *result.notes) if part)


def fact_text(fact: Fact) -> str:
    """The fact as text: name, value, unit."""
    name, unit = known(fact.name.replace("_", " ")), "" if fact.unit == "1" else known(fact.unit)
    return said("{name}: {value} {unit}", name=name, value=known(cell_text(fact.value)), unit=unit).rstrip()


def labelled(table: Table) -> Table:
    """The table with the column names that a reader sees."""
    return replace(table, columns=tuple(column._replace(name=label_of(column.name)) for column in table.columns))


def label_of(column: str) -> str:
    """The name of a column that a reader sees."""
    return _LABELS.get(column, column.replace("_", " "))
