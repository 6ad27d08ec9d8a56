"""What was measured, for people and for programs."""

import json
from pathlib import Path

import pytest

from resatlas.analysis.probes import Fact
from resatlas.bench.rows import Measured, Shown, check_out, here, markdown, objects, text, to_json, write
from resatlas.errors import FolderError
from resatlas.values.table import Column, Table

ROWS = Table(
    title="Steps",
    columns=(Column("design", ""), Column("images_per_second", "images/s"), Column("rounds", "rounds")),
    rows=(("resnet-20", 1234.5, 7), ("a|b", None, 3)),
)
MEASURED = Measured(
    question="training",
    title="Training steps",
    rows=ROWS,
    shown=(Shown("Images a second", ("design", "images_per_second")),),
    further=(Table(title="Exponents", columns=(Column("over", ""), Column("power", "1")), rows=(("depth", 1.02),)),),
    facts=(Fact(name="threads", unit="", value=2),),
    notes=("both take one batch",),
)


def test_people_read_the_columns_that_are_shown() -> None:
    """On a terminal and in Markdown: chosen columns, further tables, facts, notes; marks of a name stay marks."""
    assert text(MEASURED).split("\n\n") == [
        "Training steps",
        "Images a second\ndesign     images per second (images/s)\n"
        "resnet-20                          1234\na|b                                   –",
        "Exponents\nover   power\ndepth   1.02",
        "threads: 2",
        "both take one batch",
    ]
    assert "| resnet-20 | 1234 |\n| a\\|b | – |" in markdown(MEASURED)
    assert "rounds" not in markdown(MEASURED).partition("Exponents")[0]


def test_programs_read_every_column() -> None:
    """A row is an object of all columns, also those that are not shown; units stand apart."""
    assert objects(ROWS)[0] == {"design": "resnet-20", "images_per_second": 1234.5, "rounds": 7}
    told = to_json(MEASURED)
    assert told["units"] == {"design": "", "images_per_second": "images/s", "rounds": "rounds"}
    assert told["further"][0]["rows"] == [{"over": "depth", "power": 1.02}]


def test_both_are_written(tmp_path: Path) -> None:
    """NAME.md and NAME.json, in a folder that need not be there; a name may have dots."""
    write(MEASURED, tmp_path / "new" / "cpu.v1")
    assert json.loads((tmp_path / "new" / "cpu.v1.json").read_text()) == to_json(MEASURED)
    assert (tmp_path / "new" / "cpu.v1.md").read_text() == markdown(MEASURED)


def test_a_place_that_cannot_be_written_is_refused_before(tmp_path: Path) -> None:
    """Nothing is measured for a folder that is a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="file is not a folder"):
        check_out(tmp_path / "file" / "x")


def test_the_machine_is_told() -> None:
    """Processor, cores, versions, command and date."""
    assert {"processor", "cores", "system", "python", "packages", "command", "date"} == {fact.name for fact in here()}
