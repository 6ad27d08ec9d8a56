"""Results of probes as JSON and as text."""

from dataclasses import dataclass

from resatlas.analysis.probes import Fact, ProbeResult, result_text, result_to_json
from resatlas.values.table import cell_text, grouped, of_unit, table


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row."""

    unit: str = of_unit("")
    loss_frozen: float | None = of_unit("nats")
    paths: int = of_unit("paths")
    share: float = of_unit("1")


ROWS = (
    Row(unit="stages.0.0", loss_frozen=0.123456, paths=2**60, share=0.5),
    Row(unit="stages.0.1", loss_frozen=None, paths=1024, share=1.0),
)

RESULT = ProbeResult(
    question="lesion",
    title="units replaced",
    runs=("a", "b"),
    images="9 of 9 images",
    facts=(Fact(name="mean_loss", unit="nats", value=1.5),),
    tables=(table("each unit", Row, ROWS, note="a note"), table("none", Row, ())),
    notes=("nothing else",),
)

TEXT = """\
a, b: units replaced (9 of 9 images)

mean loss: 1.5 nats

each unit
unit        loss, BN kept (nats)      paths  share
stages.0.0                0.1235  1.153e+18    0.5
stages.0.1                     –      1,024      1
a note

none: nothing

nothing else"""


def test_text_of_a_result() -> None:
    """Names have units, a missing value is a dash, long numbers are shortened."""
    assert result_text(RESULT) == TEXT


def test_json_has_exact_values() -> None:
    """Columns have their units, values are not rounded."""
    data = result_to_json(RESULT)
    assert data["runs"] == ["a", "b"]
    assert data["facts"] == [{"name": "mean_loss", "unit": "nats", "value": 1.5}]
    first, second = data["tables"]
    assert first["columns"][1] == {"name": "loss_frozen", "unit": "nats"}
    assert first["rows"] == [["stages.0.0", 0.123456, 2**60, 0.5], ["stages.0.1", None, 1024, 1.0]]
    assert (first["note"], second["rows"]) == ("a note", [])


def test_rows_of_groups_begin_with_the_name_of_the_group() -> None:
    """The column with the name of the group comes before the values."""
    rows = grouped("two runs", Row, [({"run": "a"}, ROWS[:1]), ({"run": "b"}, ROWS)])
    assert [column.name for column in rows.columns] == ["run", "unit", "loss_frozen", "paths", "share"]
    assert [row[:2] for row in rows.rows] == [("a", "stages.0.0"), ("b", "stages.0.0"), ("b", "stages.0.1")]


def test_values_are_rounded_for_display() -> None:
    """Measured values have four digits, counts have thousands separators."""
    assert [cell_text(value) for value in (0.000123456, 12345, "x", None, 10**400)] == [
        *("0.0001235", "12,345", "x", "–", "1.000e+400"),
    ]
