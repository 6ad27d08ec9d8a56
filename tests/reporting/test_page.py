"""The page: complete, closed, and harmless."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from resatlas.errors import FolderError
from resatlas.reporting.page import _bundle, page, write_page
from resatlas.reporting.report import Answer, report
from resatlas.reporting.table import grid
from resatlas.reporting.verdict import verdict
from resatlas.runs.collection import Question
from tests.reporting.folders import EQUAL, RECIPE, write_run, write_runs, write_stopped, write_study

EVIL = "</script><script>alert(1)</script>"


class Reader(HTMLParser):
    """The text of a page, and its elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with single spaces."""
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answer, ...]:
    """A finished study, a run beside it and one that was stopped."""
    folder = tmp_path_factory.mktemp("runs")
    beside = write_runs(folder, [(EQUAL[0][0], 1)], chance=3)
    return report([write_study(folder / "demo"), beside[0].folder, write_stopped(folder / "halted").folder])


@pytest.fixture(scope="module")
def html(study: tuple[Answer, ...]) -> str:
    """Their page."""
    return page(title="resatlas demo", answers=study)


def test_every_question_has_verdict_and_figures(study: tuple[Answer, ...], html: str) -> None:
    """What the terminal says stands on the page as well, down to each cell."""
    text = Reader(html).text
    for question, runs, unfinished in study:
        assert question.title in text
        assert verdict(question.view, runs) in text
        for line in grid(question.view, runs).rows:
            assert "".join(line) in text
        assert all(name in text for name in unfinished)
    assert "Not finished, and so not shown: halted: stopped." in text


def test_runs_can_be_repeated(html: str) -> None:
    """Command, environment and recipe of each run are there."""
    text = Reader(html).text
    assert "resatlas train resnet:depth=20,base=9 --data digits:size=16 --recipe quick --epochs 12 --seed 2" in text
    assert "resatlas demo --out .../demo --data=.../digits" in text
    assert "torch2.14.1" in text.replace(" ", "")
    assert '"peak": 0.1' in text


def test_nothing_is_fetched(html: str) -> None:
    """No element names anything outside the page, and the content policy forbids it."""
    elements = Reader(html).elements
    assert not [attributes for _, attributes in elements if {"src", "srcset", "action", "data"} & set(attributes)]
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in elements)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in elements}
    assert "@import" not in html
    assert "default-src 'none'" in str(elements)


def test_no_folder_is_told(study: tuple[Answer, ...], html: str) -> None:
    """Neither where the runs lie nor the folders of their commands."""
    folder = study[0].runs[0].folder
    own = html.replace(_bundle(), "")
    for place in (*list(folder.parents)[:-1], "/home", "private", "/srv", "secret"):
        assert str(place) not in own


def test_names_are_text(tmp_path: Path) -> None:
    """A design, a data set, a title and a run's status that hold markup end no element and begin none."""
    run = write_run(
        tmp_path / "run", replace(EQUAL[0][0], family=EVIL), seed=0, wrong=[True], design=EVIL, data="<b>digits"
    )
    question = Question(name="q", title=EVIL, view="budget", runs=("run",))
    text = page(title=EVIL, answers=[Answer(question, (run,), (EVIL,))])
    elements = [tag for tag, _ in Reader(text).elements]
    assert elements.count("script") == text.count("</script>") == 5  # three charts, the bundle, the call
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_equal_runs_give_equal_pages(study: tuple[Answer, ...], html: str) -> None:
    """To the byte."""
    assert page(title="resatlas demo", answers=study) == html


def test_a_recipe_with_settings_has_no_short_command(tmp_path: Path) -> None:
    """A command that would train something else is not shown."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True], recipe=replace(RECIPE, batch=32))
    assert "resatlas train" not in page(title="one", answers=report([run.folder]))


def test_a_question_without_finished_runs_has_no_table(study: tuple[Answer, ...]) -> None:
    """It stands on the page with what is missing."""
    waiting = Answer(Question(name="q", title="Later?", view="depth", runs=("a",)), (), ("a: running",))
    text = Reader(page(title="two", answers=[waiting, study[2]])).text
    assert "Later? No verdict: no run is finished. Not finished, and so not shown: a: running." in text


def test_the_page_is_written_whole(tmp_path: Path, study: tuple[Answer, ...], html: str) -> None:
    """In a folder that is made for it, and without a trace of a draft."""
    write_page(tmp_path / "deep" / "report.html", title="resatlas demo", answers=study)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8") == html


def test_places_that_take_no_page_are_named(tmp_path: Path, study: tuple[Answer, ...]) -> None:
    """A folder in place of the file, and a file in place of the folder."""
    with pytest.raises(FolderError, match=r"is a folder; name a file in it, as in .*report\.html$"):
        write_page(tmp_path, title="", answers=study[2:])
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=re.escape(f"{tmp_path / 'file' / 'report.html'} cannot be written: ")):
        write_page(tmp_path / "file" / "report.html", title="", answers=study[2:])
