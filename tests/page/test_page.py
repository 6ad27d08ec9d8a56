"""The page is complete, self-contained and safe."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from html.parser import HTMLParser
from pathlib import Path

import pytest

from resatlas.arch.ops import Shape
from resatlas.arch.plan import to_json
from resatlas.comparing.comparison import compare_run_set
from resatlas.comparing.run_sets import RunSet, read_run_sets
from resatlas.designs.catalog import plan
from resatlas.errors import FolderError
from resatlas.page.comparison_text import document
from resatlas.page.leaders import leaders
from resatlas.page.page import page, page_figures, write_page
from resatlas.page.vega import chart_script
from resatlas.page.verdict import verdict
from resatlas.runs.collection import Question
from resatlas.values.table import Table
from resatlas.values.text import capitalised
from tests.comparing.folders import EQUAL, NOTE, RECIPE, edited, seal, write_run, write_runs, write_stopped, write_study

EVIL = "</script><script>alert(1)</script>"


class Reader(HTMLParser):
    """The text of a page, and its elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Store the element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Store the words."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with single spaces."""
        return " ".join("".join(self.words).split())


class Prose(Reader):
    """The sentences of a page: without scripts, commands, BibTeX, recipes and the entries of environments."""

    def __init__(self, text: str) -> None:
        self.silent = 0
        super().__init__(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count the elements that have no sentences."""
        super().handle_starttag(tag, attrs)
        self.silent += tag in SILENT

    def handle_endtag(self, tag: str) -> None:
        """Count the elements that have no sentences."""
        self.silent -= tag in SILENT

    def handle_data(self, data: str) -> None:
        """Store the words of sentences."""
        if not self.silent:
            super().handle_data(f"{data} | ")


SILENT = ("style", "script", "pre", "code", "dl")

ENGLISH = re.compile(r"[A-Za-z][a-z’']+(?:[ ,;:]+[A-Za-z][a-z’']+){3,}")
"""Four English words in a row."""

RECIPE_WORDS = ("ours; no paper uses it", "fill zeros, kind flip")

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def check_translated(chinese: str, english: str, *, own: Sequence[str]) -> None:
    """Check that a page has no English sentence but a user's `own` ones, and the numbers of the English page.

    Sources and steps of recipes stand in the table of settings as they are in the recipe.
    """
    texts = [
        reduce(lambda rest, words: rest.replace(words, ""), (*own, *RECIPE_WORDS), Prose(html).text)
        for html in (chinese, english)
    ]
    assert ENGLISH.findall(texts[0]) == []
    numbers = [Counter(NUMBER.findall(text.replace("one pair", "1 pair"))) for text in texts]
    assert numbers[0] == numbers[1]
    charts = re.findall(r'data-chart="([^"]*)">(.*?)</script>', chinese)
    assert charts
    for name, chart in charts:
        spec = {key: value for key, value in json.loads(chart).items() if key not in ("datasets", "config")}
        assert ENGLISH.findall(json.dumps(spec, ensure_ascii=False)) == [], name


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSet, ...]:
    """A finished study, a run beside it and one that was stopped."""
    folder = tmp_path_factory.mktemp("runs")
    single = write_runs(folder, [(EQUAL[0][0], 1)], random_seed=3)
    return read_run_sets([write_study(folder / "demo"), single[0].folder, write_stopped(folder / "halted").folder])


@pytest.fixture(scope="module")
def html(study: tuple[RunSet, ...]) -> str:
    """Their page."""
    return page(title="resatlas demo", run_sets=study)


def test_every_question_has_a_verdict_and_a_table(study: tuple[RunSet, ...], html: str) -> None:
    """The page has all sentences and cells of the terminal output."""
    text = Reader(html).text
    for answer in study:
        comparison = compare_run_set(answer)
        assert answer.question.title in text
        assert all(sentence in text for sentence in verdict(answer.question.view, comparison))
        for line in leaders(comparison).cells:
            assert "".join(line) in text
        assert all(name in text for name in answer.unfinished)
    assert "1 run is not finished, so not shown halted: stopped." in text


def test_the_page_has_the_whole_comparison(study: tuple[RunSet, ...], html: str) -> None:
    """Each table of `resatlas compare` is on the page, folded."""
    text = Reader(html).text
    tables = [block for block in document([compare_run_set(study[1])]) if isinstance(block, Table)]
    assert len(tables) >= 4
    for table in tables:
        assert " ".join(table.title.split()) in text
        assert all("".join(row) in text for row in table.cells)


def test_charts_have_unique_names(study: tuple[RunSet, ...], html: str) -> None:
    """The names are in the order of the page, and have only small letters, digits and dashes."""
    names = [figure.name for figure in page_figures(study)]
    assert re.findall(r'data-chart="chart-([^"]*)"', html) == names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert {"depth-training-loss", "budget-error-over-seconds", "budget-confusions-resnet"} <= set(names)


def test_errors_are_shown(html: str) -> None:
    """There are confusion matrices and misclassified images, without pictures if there is no data set."""
    text = Reader(html).text
    assert "resnet: 3 networks, 1,080 predictions, " in text
    assert "No pictures: this page was made from the run folders only, without the data set." in text
    assert re.search(r"\d → \d, 0.90", text)


def test_pictures_are_inside_the_page(tmp_path: Path) -> None:
    """Pictures are data addresses, since the content policy forbids others."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True, False])
    text = page(
        title="one", run_sets=read_run_sets([run.folder]), pictures=lambda _run, ids: dict.fromkeys(ids, b"png")
    )
    [picture] = [attributes for tag, attributes in Reader(text).elements if tag == "img"]
    assert picture["src"] == "data:image/png;base64,cG5n"
    assert "No pictures" not in text


def test_papers_are_those_of_the_designs(tmp_path: Path) -> None:
    """Papers are those of `cite`, each once; a design without a known paper is named."""
    runs = write_runs(tmp_path, [(EQUAL[0][0], 1), (EQUAL[4][0], 1)])
    text = Reader(page(title="one", run_sets=read_run_sets([run.folder for run in runs]))).text
    assert text.count("@inproceedings{") == 2
    assert "he2016deep" in text
    assert "zhao2018mergeandrun" in text
    gone = write_run(tmp_path / "gone", EQUAL[0][0], seed=0, wrong=[True], design="gone.toml")
    text = Reader(page(title="one", run_sets=read_run_sets([gone.folder]))).text
    assert "No paper is known for gone.toml." in text
    assert "@inproceedings{" not in text


def test_missing_parts_are_named(tmp_path: Path) -> None:
    """Without predictions and metrics, the page has its other parts."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True, False])
    for name in ("predictions.csv", "metrics.jsonl", "timing.jsonl"):
        (run.folder / name).unlink()
    seal(run.folder)
    text = Reader(page(title="one", run_sets=read_run_sets([run.folder]))).text
    assert "Confusion matrices and misclassified images are not shown: no run has a predictions.csv." in text
    assert "No verdict on test errors" in text


def test_networks_are_drawn_from_their_plans(tmp_path: Path) -> None:
    """Each design is drawn once, for any number of seeds and recipes."""
    runs = write_runs(tmp_path, [(replace(EQUAL[0][0], depth=8), 2)])
    for run in runs:
        network_plan = plan("resnet:depth=8,base=9", image=Shape(1, 16, 16), classes=10)
        edited(run.folder / "experiment.json", plan=to_json(network_plan))
    names = [figure.name for figure in page_figures(read_run_sets([run.folder for run in runs]))]
    assert names.count("network-resnet-depth-8-base-9") == 1
    assert not [name for name in names if name.startswith("network-resnet-depth-8-base-9-")]


def test_runs_on_different_images_are_separate_sections(tmp_path: Path) -> None:
    """Errors on two data sets are never in one table."""
    runs = [
        write_run(tmp_path / data, EQUAL[0][0], seed=0, wrong=[True, False], data=data)
        for data in ("digits", "synthetic")
    ]
    text = page(title="two", run_sets=read_run_sets([run.folder for run in runs]))
    assert text.count('<section id="question-') == 2
    assert "Runs (synthetic)" in text


def test_a_copied_run_is_not_compared(tmp_path: Path) -> None:
    """The page says why it has no comparison."""
    runs = [write_run(tmp_path / name, EQUAL[0][0], seed=0, wrong=[True, False]) for name in ("a", "b")]
    text = Reader(page(title="two", run_sets=read_run_sets([run.folder for run in runs]))).text
    assert "No verdict: a and b are one training with seed 0; a copy does not count as another network." in text


def test_runs_can_be_reproduced(html: str) -> None:
    """The page has command, environment and recipe of each run."""
    text = Reader(html).text
    assert "resatlas train resnet:depth=20,base=9 --data digits:size=16 --recipe quick --epochs 12 --seed 2" in text
    assert "resatlas demo --out .../demo --data=.../digits" in text
    assert "torch2.14.1" in text.replace(" ", "")
    assert '"peak": 0.1' in text


def test_the_page_loads_nothing(html: str) -> None:
    """No element refers to anything outside the page, and the content policy forbids it."""
    elements = Reader(html).elements
    assert not [attributes for _, attributes in elements if {"src", "srcset", "action", "data"} & set(attributes)]
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in elements)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in elements}
    assert "@import" not in html
    assert "default-src 'none'" in str(elements)


def test_no_private_folder_is_shown(study: tuple[RunSet, ...], html: str) -> None:
    """The page has neither the folders of the runs nor those in their commands."""
    folder = study[0].runs[0].folder
    own = html.replace(chart_script(), "")
    for place in (*list(folder.parents)[:-1], "/home", "private", "/srv", "secret"):
        assert str(place) not in own


def test_names_are_text(tmp_path: Path) -> None:
    """Markup in a design, a data set, a title and a status is escaped."""
    run = write_run(
        tmp_path / "run", replace(EQUAL[0][0], family=EVIL), seed=0, wrong=[True], design=EVIL, data="<b>digits"
    )
    question = Question(name="q", title=EVIL, view="budget", runs=("run",))
    text = page(title=EVIL, run_sets=[RunSet(question, (run.record(),), (EVIL,))])
    elements = [tag for tag, _ in Reader(text).elements]
    assert elements.count("script") == text.count("</script>") == 7  # five charts, the bundle, the call
    assert "<script>alert" not in text
    assert "<b>digits" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_names_in_sentences_are_text(tmp_path: Path) -> None:
    """Markup is escaped in labels of designs and classes, in all parts of the page."""
    runs = [
        write_run(
            tmp_path / f"{k} {seed}", subject, seed=seed, wrong=[n < 3 * k + seed for n in range(20)], design=name
        )
        for k, (subject, name) in enumerate([(EQUAL[0][0], f"{EVIL}1"), (EQUAL[1][0], f"{EVIL}2")])
        for seed in (1, 2, 3)
    ]
    runs.append(write_run(tmp_path / "one", EQUAL[0][0], seed=0, wrong=[True] * 20, design=f"{EVIL}3"))
    for run in runs:
        file = run.folder / "predictions.csv"
        file.write_text(re.sub(r"(?<=,)6(?=,)", f'"{EVIL}"', file.read_text()))
        seal(run.folder)
    run_sets = read_run_sets([run.folder for run in runs])
    text = page(title="two", run_sets=run_sets, pictures=lambda _run, ids: dict.fromkeys(ids, b"png"))
    assert EVIL in Reader(text).text
    assert "<script>alert" not in text


def test_similar_names_are_different_charts(tmp_path: Path) -> None:
    """Two designs that differ only in punctuation have charts with different names."""
    runs = [
        write_run(tmp_path / name, EQUAL[0][0], seed=0, wrong=[True, False], design=name)
        for name in ("a_1.toml", "a-1.toml")
    ]
    names = [figure.name for figure in page_figures(read_run_sets([run.folder for run in runs]))]
    assert [name for name in names if "confusions" in name] == [
        "runs-confusions-a-1-toml",
        "runs-confusions-a-1-toml-2",
    ]


def test_equal_runs_give_equal_pages(study: tuple[RunSet, ...], html: str) -> None:
    """The pages are equal byte by byte."""
    assert page(title="resatlas demo", run_sets=study) == html


def test_a_chinese_page_has_no_english_sentence(study: tuple[RunSet, ...], html: str) -> None:
    """Folded parts and charts too; the numbers are those of the English page."""
    chinese = page(title="resatlas demo", run_sets=study, language="zh")
    assert '<html lang="zh-CN">' in chinese
    assert "深度为 56 时，resnet 的测试误差为 " in Prose(chinese).text
    check_translated(chinese, html, own=(capitalised(NOTE), NOTE))


def test_a_changed_recipe_has_no_short_command(tmp_path: Path) -> None:
    """A command that trains with another recipe is not shown."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True], recipe=replace(RECIPE, batch=32))
    assert "resatlas train" not in page(title="one", run_sets=read_run_sets([run.folder]))


def test_a_question_without_finished_runs_has_no_table(study: tuple[RunSet, ...]) -> None:
    """The section names the unfinished runs."""
    waiting = RunSet(Question(name="q", title="Later?", view="depth", runs=("a",)), (), ("a: running",))
    text = Reader(page(title="two", run_sets=[waiting, study[2]])).text
    assert "Later? No verdict: no run is finished. 1 run is not finished, so not shown a: running." in text


def test_the_page_is_written_atomically(tmp_path: Path, study: tuple[RunSet, ...], html: str) -> None:
    """The folder is created, and no temporary file remains."""
    write_page(tmp_path / "deep" / "report.html", title="resatlas demo", run_sets=study)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8") == html


def test_impossible_places_are_refused(tmp_path: Path, study: tuple[RunSet, ...]) -> None:
    """A folder in place of the file is refused, and so is a file in place of the folder."""
    with pytest.raises(FolderError, match=r"is a folder; name a file in it, as in .*report\.html$"):
        write_page(tmp_path, title="", run_sets=study[2:])
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=re.escape(f"{tmp_path / 'file' / 'report.html'} cannot be written: ")):
        write_page(tmp_path / "file" / "report.html", title="", run_sets=study[2:])
