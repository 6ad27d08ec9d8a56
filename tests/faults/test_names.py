"""Names of classes and runs with markup, formulas or control sequences are shown as plain text everywhere."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from resatlas.cli.main import main
from resatlas.runs.store import Run
from tests.data.pictures import write
from tests.training.small import DESIGN

CLASSES = ("<script>alert(1)<", '"><td onload=x>', "=cmd()", "+1", "@sum", "-2+3", "%2e%2e", "[red]x[", "ñ 名")
RUN = "<b onmouseover=x>&amp; =run"
TRAIN = ("train", DESIGN, "--set", "batch=8", "--epochs", "1")


class Page(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record one element."""
        self.elements.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with such a name and such class names."""
    folder = tmp_path_factory.mktemp("names")
    for k, name in enumerate(CLASSES):
        for i in range(8):
            write(folder / "=images" / "train" / name / f"{i}.png", 100 * k + i)
        write(folder / "=images" / "val" / name / "=0.png", 100 * k + 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main((*TRAIN, "--data", "=images:size=8", "--out", RUN, "--quiet")) == 0
    return Run(folder / RUN)


def test_a_table_of_predictions_has_no_formula(run: Run) -> None:
    """Every class and file is listed; names that a spreadsheet would evaluate are prefixed by an apostrophe."""
    text = (run.folder / "predictions.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    cells = [cell for row in rows for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "@", "-") and not cell[1:2].isdigit()] == []
    known = json.loads((run.folder / "experiment.json").read_text(encoding="utf-8"))["classes"]
    assert sorted(known) == sorted(CLASSES)
    assert {row[1].removeprefix("'") for row in rows[1:]} == set(CLASSES)


def test_a_page_has_no_element_of_a_name(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name starts or ends an element, adds an attribute or a link."""
    monkeypatch.chdir(run.folder.parent)
    assert main(("report", RUN, "--out", "page.html")) == 0
    assert RUN not in capsys.readouterr().err
    page = Page(Path("page.html").read_text(encoding="utf-8"))
    tags = [tag for tag, _ in page.elements]
    assert "b" not in tags
    assert not [tag for tag, attributes in page.elements if set(attributes) & {"onmouseover", "onload", "src"}]
    assert "<script>alert(1)<" not in Path("page.html").read_text(encoding="utf-8")
    assert quote(RUN) not in str(page.elements)


def test_a_terminal_is_told_names_and_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name of the run is printed on one line without escape sequences."""
    monkeypatch.chdir(run.folder.parent)
    assert main((*TRAIN, "--data", "=images:size=8", "--out", RUN, "--resume", "auto")) == 0
    out, err = capsys.readouterr()
    assert err == f"{RUN} is finished: nothing is left to train\n"
    assert out.splitlines()[1].startswith(RUN)
    assert "\x1b" not in out + err


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "a\x07b"])
def test_no_name_steers_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of such a name that cannot be used is refused on one harmless line."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("")
    assert main((*TRAIN, "--data", "digits", "--out", name)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert not set(err.rstrip("\n")) & set(map(chr, range(32)))
