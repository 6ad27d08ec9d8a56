"""A new family is one file: with a line in the catalogue, every verb knows it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.designs import catalog
from resatlas.page.chart import look_of
from tests.designs.toy import FAMILY


@pytest.fixture(autouse=True)
def line_in_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one line that a new family needs, for the length of a test."""
    monkeypatch.setitem(catalog.FAMILIES, FAMILY.name, FAMILY)  # type: ignore[arg-type]
    for known in (catalog.named, catalog._spelling):
        known.cache_clear()
    yield
    for known in (catalog.named, catalog._spelling):
        known.cache_clear()


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a verb prints."""
    assert main([*words]) == 0
    return capsys.readouterr().out


def test_it_is_listed_described_and_cited(capsys: pytest.CaptureFixture[str]) -> None:
    """It resolves by names, other spellings and knobs; its paper is listed with those of its parts."""
    assert [row["name"] for row in json.loads(said(capsys, "list", "toy", "--json"))] == ["toy-8", "toy-14"]
    described = json.loads(said(capsys, "describe", "toy:depth=8,base=4", "--json"))
    assert (described["family"], described["depth"], len(described["units"])) == ("toy", 8, 3)
    assert json.loads(said(capsys, "describe", "Toy8_w2", "--json"))["name"] == "toy-8-w2"
    assert "nobody2026toys" in said(capsys, "cite", "toy-8")


def test_it_is_solved(capsys: pytest.CaptureFixture[str]) -> None:
    """A budget is met by its members, under their names."""
    [size] = {row["parameters"] for row in json.loads(said(capsys, "list", "toy-14", "--json"))}
    solutions = json.loads(said(capsys, "solve", "toy", "--parameters", str(size), "--json"))
    assert solutions[0]["name"] == "toy-14"


def test_it_is_built_trained_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A short training ends in a report that shows its colour and its paper."""
    run = tmp_path / "run"
    said(capsys, "train", "toy:depth=8,base=4", "--data", "digits:size=8", "--epochs", "1", "--out", str(run))
    page = tmp_path / "page.html"
    said(capsys, "report", str(run), "--out", str(page))
    assert look_of("toy") == ("#123456", "circle")
    text = page.read_text(encoding="utf-8")
    assert FAMILY.colour in text
    assert FAMILY.paper.key in text


def test_it_is_ejected(capsys: pytest.CaptureFixture[str]) -> None:
    """The file has its class and the sentence of its paper, and it is Python."""
    text = said(capsys, "eject", "toy-8")
    compile(text, "toy.py", "exec")
    assert "class ToyNet(" in text
    assert str(FAMILY.paper) in " ".join(text.split())
