"""The result of a benchmark as text, Markdown and JSON."""

import json
from pathlib import Path

import pytest

from resatlas.analysis.probes import Fact
from resatlas.bench.rows import Measured, View, check_out, environment_facts, markdown, objects, text, to_json, write
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
    views=(View("Images a second", ("design", "images_per_second")),),
    further=(Table(title="Exponents", columns=(Column("over", ""), Column("power", "1")), rows=(("depth", 1.02),)),),
    facts=(Fact(name="threads", unit="", value=2),),
    notes=("both take one batch",),
)


def test_text_and_markdown_have_the_columns_of_the_views() -> None:
    """Text and Markdown have selected columns, further tables, facts and notes; special characters are escaped."""
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


def test_json_has_every_column() -> None:
    """A row is an object of all columns, also those in no view; units are listed separately."""
    assert objects(ROWS)[0] == {"design": "resnet-20", "images_per_second": 1234.5, "rounds": 7}
    values = to_json(MEASURED)
    assert values["units"] == {"design": "", "images_per_second": "images/s", "rounds": "rounds"}
    assert values["further"][0]["rows"] == [{"over": "depth", "power": 1.02}]


def test_both_are_written(tmp_path: Path) -> None:
    """NAME.md and NAME.json are written to a folder that may be new; the name can contain dots."""
    write(MEASURED, tmp_path / "new" / "cpu.v1")
    assert json.loads((tmp_path / "new" / "cpu.v1.json").read_text()) == to_json(MEASURED)
    assert (tmp_path / "new" / "cpu.v1.md").read_text() == markdown(MEASURED)


def test_an_output_that_cannot_be_written_is_refused_before(tmp_path: Path) -> None:
    """A folder that is a file is refused before anything is measured."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="file is not a folder"):
        check_out(tmp_path / "file" / "x")


def test_the_machine_is_described() -> None:
    """Processor, cores, versions, command and date."""
    names = {"processor", "cores", "system", "python", "packages", "command", "date"}
    assert {fact.name for fact in environment_facts()} == names
