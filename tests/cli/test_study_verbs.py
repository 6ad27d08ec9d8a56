"""The effects, output and errors of study and demo."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.runs.store import Run
from tests.studies import tiny
from tests.training import processes
from tests.training.small import DATA


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, processes.Ended]:
    """A folder in which the tiny study was carried out, and how that ended."""
    folder = tmp_path_factory.mktemp("study") / "here"
    folder.mkdir()
    tiny.write(folder)
    return folder, processes.run(folder, "study", "tiny.toml", first=tiny.forking)


def test_a_study_shows_its_answers(done: tuple[Path, processes.Ended]) -> None:
    """A line for each run on standard error; on standard output each question with its table, then the page."""
    folder, ended = done
    assert ended.code == 0
    progress = ended.err.splitlines()
    assert [line.split("  ")[0] for line in progress] == [f"{k} of 4" for k in (1, 2, 3, 4)]
    for line in progress:
        assert any(f"  {design} seed " in line for design in tiny.DESIGNS)
        assert "test error" in line
    blocks = ended.out.split("\n\n")
    assert blocks[0].startswith("Do shortcuts help?\nAll results are those after ")
    assert any(block.startswith("And is a run shared?\nAll results are those after ") for block in blocks)
    assert ended.out.endswith("\n\npage: runs/tiny/report.html\n")
    assert (folder / "runs" / "tiny" / "report.html").is_file()


def test_a_study_has_a_folder_with_a_run_each(done: tuple[Path, processes.Ended]) -> None:
    """runs/<study>/<run>, a list of questions, and the page."""
    folder, _ = done
    names = sorted(path.name for path in (folder / "runs" / "tiny").iterdir())
    assert [name for name in names if name.startswith("synthetic_")] == names[-4:]
    assert names[:-4] == ["report.html", "study.json"]


def test_a_study_gives_its_results_as_json(done: tuple[Path, processes.Ended], tmp_path: Path) -> None:
    """The page, and by question the results of its runs; nothing else on standard output."""
    folder, _ = done
    shutil.copytree(folder, tmp_path / "here")
    ended = processes.run(tmp_path / "here", "study", "tiny.toml", "--json")
    value = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert value["page"] == "runs/tiny/report.html"
    shortcuts, again = value["questions"]["shortcuts"], value["questions"]["again"]
    assert [(run["design"], run["seed"], run["data"]) for run in shortcuts] == [
        (design, seed, DATA) for seed in (0, 1) for design in tiny.DESIGNS
    ]
    assert again == shortcuts[:1]
    for file in (tmp_path / "here" / "runs" / "tiny").glob("*/results.json"):
        assert Run(file.parent).record().written in shortcuts


def test_a_study_asks_its_networks(
    done: tuple[Path, processes.Ended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After all runs, a line for each question on standard error; the page shows the answers; none is repeated."""
    folder, _ = done
    shutil.copytree(folder, tmp_path / "here")
    dissections = f'\n[[dissections]]\nquestion = "paths"\ndesigns = ["{tiny.DESIGNS[0]}"]\n'
    file = tiny.write(tmp_path, tiny.TEXT + dissections)
    runs = tmp_path / "here" / "runs" / "tiny"
    assert main(("study", str(file), "--out", str(runs))) == 0
    assert capsys.readouterr().err == f"dissecting paths of {tiny.DESIGNS[0]} (1 of 1)\n"
    assert "paths by length" in (runs / "report.html").read_text(encoding="utf-8")
    assert main(("study", str(file), "--out", str(runs))) == 0
    assert capsys.readouterr().err == ""


def test_a_page_shows_the_images_that_are_wrong(done: tuple[Path, processes.Ended], tmp_path: Path) -> None:
    """`report` reads them from the data set of the runs, if it exists."""
    folder, _ = done
    assert main(("report", str(folder / "runs"), "--out", str(tmp_path / "page.html"), "--quiet")) == 0
    assert '<img src="data:image/png;base64,' in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_study_can_be_reported_again(
    done: tuple[Path, processes.Ended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`report` takes the folder of a study as well as that of a run."""
    folder, _ = done
    assert main(("report", str(folder / "runs" / "tiny"), "--out", str(tmp_path / "page.html"), "--json")) == 0
    assert json.loads(capsys.readouterr().out)["questions"] == ["shortcuts", "again"]


FACTORIAL = """
schema = 1
name = "tiny"
data = "DATA"
epochs = 1

[[questions]]
name = "parts"
title = "Which part?"
about = "Two parts at two levels."
factors = [
  { name = "shortcut", minus = "none", plus = "zero padding" },
  { name = "unit", minus = "post-activation", plus = "something else" },
]
[[questions.runs]]
designs = [
  "plain:depth=8,base=2", "resnet:depth=8,base=2", "preact-resnet:depth=8,base=2", "resnet:depth=8,base=2,shortcut=B",
]
levels = ["--", "+-", "-+", "++"]
seeds = 2
settings = ["batch=16"]
"""


def test_a_factorial_study_shows_its_effects(tmp_path: Path) -> None:
    """Its answer are the claims, in the output and on the page; `effects` analyses its folder."""
    file = tiny.write(tmp_path, FACTORIAL.replace("DATA", DATA))
    ended = processes.run(tmp_path, "study", file.name, "--quiet", first=tiny.forking)
    assert (ended.code, ended.err) == (0, "")
    effects = processes.run(tmp_path, "effects", "runs/tiny", "--json")
    [analysis] = json.loads(effects.out)
    assert [cell["levels"] for cell in analysis["cells"]] == ["--", "+-", "-+", "++"]
    assert [len(cell["responses"]) for cell in analysis["cells"]] == [2] * 4
    text = (tmp_path / "runs" / "tiny" / "report.html").read_text(encoding="utf-8")
    for name in ("parts-effects", "parts-half-normal", "parts-interaction-shortcut-unit"):
        assert f'data-chart="chart-{name}"' in text
    assert "4 cells, 2 blocks (seeds 0, 1)." in text


def demo_of_tiny(file: Path) -> None:
    """Replace the demo by the tiny study, carried out by forked workers."""
    from resatlas.cli import demo_verb
    from resatlas.studies.study import read_study

    tiny.forking()
    demo_verb.demo_study = lambda: read_study(file)


def test_the_demo_is_a_study_of_its_own(tmp_path: Path) -> None:
    """It needs no argument, writes the report and a page to draw on to --out, and prints nothing with --quiet."""
    file = tiny.write(tmp_path, tiny.TEXT.replace("seeds = 2", "seeds = 1"))
    ended = processes.run(tmp_path, "demo", "--out", "mine", "--quiet", first=partial(demo_of_tiny, file))
    assert ended == processes.Ended(0, "", "")
    assert (tmp_path / "mine" / "report.html").is_file()
    assert (tmp_path / "mine" / "classify.html").is_file()
    assert len(list((tmp_path / "mine").glob("*/results.json"))) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("study",), "FILE"),
        (("study", "nowhere.toml"), "nowhere.toml: no such file or directory"),
        (("study", "."), ".: a folder, not a regular file"),
        (("study", "tiny.toml", "--outt", "x"), 'did you mean "--out"?'),
        (("study", "tiny.toml", "--out", "file"), "file is "),
        (("study", "tiny.toml", "--out", "file/x"), "file/x cannot be made: file is not a folder"),
        (("study", "wrong.toml"), 'no key "titel"; did you mean "title"?'),
        (("study", "wrong.toml", "--json"), "wrong.toml"),
        (("demo", "resnet-20"), 'resatlas demo does not take "resnet-20"'),
        (("demo", "--out", "file/x"), "file is not a folder"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_wrong_command_is_answered_in_a_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    """Exit code 2, one line, and no run is started."""
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    (tmp_path / "wrong.toml").write_text(tiny.TEXT.replace("title", "titel"))
    (tmp_path / "file").write_text("")
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tiny.toml", "wrong.toml"]
