"""Whatever the README and the pages of docs/ show, works as they say."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import resatlas
from resatlas.analysis.probes import PROBES
from resatlas.cli.main import main, parser_of
from resatlas.data import digits
from resatlas.data.dataset import Parts
from resatlas.runs.store import Run
from tests.comparing.folders import Subject, write_errors
from tests.data.pictures import picture

ROOT = Path(__file__).parents[2]
PAGES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in (*sorted(ROOT.glob("README*.md")), ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
PACKAGE = Path(resatlas.__file__).parent

CHINESE = ".zh-CN.md"

LEARNING = "resatlas describe resnet-20"
DESIGNING = "resatlas design resnet-20"  # serves until it is stopped; tests/serving begins and stops it
LISTING = "resatlas list"
FINE_TUNING = "resatlas data check"
DISSECTING = "import torch"
TRAVELLING = "import resatlas\n\nresatlas.save_pretrained"
COMPARING = "resatlas compare"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page that are in that language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def block(page: str, language: str, beginning: str = "") -> str:
    """The only code block of a page that begins so."""
    [found] = (text for text in blocks(page, language) if text.startswith(beginning))
    return found


def commands(text: str) -> list[str]:
    """The lines of a block for the shell without their comments; a line that ends in a backslash goes on."""
    lines = (line.partition(" #")[0].rstrip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line]


def in_shell(commands: list[str], folder: Path) -> str:
    """What lines of a page say on standard error, carried out in one shell with the program on the path."""
    done = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],  # noqa: S607 - whichever bash there is
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    return done.stderr


@pytest.mark.slow
def test_photographs_are_classified_by_two_commands(tmp_path: Path) -> None:
    """Weights as torchvision saves them, a folder of pictures of two classes: checked, trained and tested."""
    import torch
    from torchvision.models import resnet18

    for part, images in (("train", 12), ("val", 3)):
        for k in range(images):
            for seed, name, side in ((0, "wide", (40, 90)), (50, "high", (90, 40))):
                file = tmp_path / "pets" / part / name / f"{k}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                picture(seed + k + (part == "val") * 100, size=side).save(file)
    torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")
    check, train = commands(block("docs/commands.md", "sh", FINE_TUNING))
    told = in_shell([check, f"{train} --epochs 1"], tmp_path)
    assert "its classifier of 1,000 classes is replaced by a new one of 2" in told
    run = Run(tmp_path / "runs" / "pets")
    assert run.finished
    assert (run.beginning().plan.classes, run.beginning().classes) == (2, ("high", "wide"))
    assert run.record().written["test"]["images"] == 6


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path: Path) -> None:
    """Every line of the shell block, in one shell, from an empty folder, with the program on the path."""
    lines = commands(block("docs/commands.md", "sh", LISTING))
    assert len(lines) > 5
    in_shell(lines, tmp_path)
    [run] = (tmp_path / "runs").iterdir()
    assert Run(run).finished
    (tmp_path / "travel.py").write_text(block("docs/python.md", "python", TRAVELLING), encoding="utf-8")
    in_shell(["python travel.py"], tmp_path)
    assert {file.name for file in (tmp_path / "digits-resnet").iterdir()} >= {"config.json", "README.md"}
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!")


@pytest.mark.slow
def test_a_beginner_gets_a_network_and_its_page(tmp_path: Path) -> None:
    """The first commands of the README, and the line of `describe` that it explains."""
    serves, lines = DESIGNING, commands(block("README.md", "sh", LEARNING))
    assert serves in lines
    in_shell([line for line in lines if line != serves], tmp_path)
    assert Run(tmp_path / "runs" / "digits").finished
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!")
    drawn = (ROOT / "docs" / "images" / "dmrnet-14.svg").read_text(encoding="utf-8")
    assert (tmp_path / "dmrnet.svg").read_text(encoding="utf-8") == drawn


def test_the_line_that_is_explained_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """`describe resnet-20` has it."""
    assert main(("describe", "resnet-20")) == 0
    assert block("README.md", "", "stages.1.0") in capsys.readouterr().out


def test_runs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and Python on the folders of two designs, written without a training."""
    for family, wrong in (("resnet", (40, 42, 41)), ("plain", (10, 12, 13))):
        write_errors(tmp_path / "runs", Subject(family=family, depth=20, knobs="base=16"), wrong)
    assert in_shell(commands(block("docs/comparing.md", "sh", COMPARING)), tmp_path) == ""
    assert "\\subsection*{Runs: test error" in (tmp_path / "table.tex").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(block("docs/comparing.md", "python"), "comparing.md", "exec"), {})  # noqa: S102
    assert printed.getvalue().startswith("plain has a lower error than resnet supported -8.1")


@pytest.mark.parametrize("page", ["docs/learn.md", "docs/how-to.md"])
def test_what_only_describes_is_carried_out(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands for beginners that need neither a training nor a file of one's own."""
    monkeypatch.chdir(tmp_path)
    every = [shlex.split(line.split(" >")[0])[1:] for text in blocks(page, "sh") for line in commands(text)]
    described = [words for words in every if words[0] in ("list", "describe", "solve", "cite")]
    ours = [words for words in described if not re.search(r"\.py:|\.toml$", words[1])]
    assert len(ours) > 5
    for words in ours:
        assert main(words) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")])
def test_every_command_is_understood(page: str) -> None:
    """The parser of its verb takes every command that a page shows, and that is not cut short by an ellipsis."""
    for command in (line for text in blocks(page, "sh") for line in commands(text)):
        program, *words = shlex.split(re.split(r" [>|&] ?|;", command)[0])
        if program == "resatlas" and "…" not in command and words[0] != "--help":
            assert parser_of(words[0]).parse_args(words[1:]), command


@pytest.mark.parametrize(
    ("page", "beginning"), [("README.md", "import resatlas\n\nplan"), ("docs/inside.md", DISSECTING)]
)
def test_the_python_prints_what_its_comments_say(
    page: str, beginning: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each printed value equals the comment behind its line."""
    monkeypatch.chdir(tmp_path)
    source = block(page, "python", beginning)
    comments = [line.rpartition("  # ")[2] for line in source.splitlines() if line.startswith("print(")]
    assert len(comments) > 1
    ast.parse(source)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(source, page, "exec"), {})  # noqa: S102 - it is ours
    assert printed.getvalue().splitlines() == comments


def test_the_blueprint_is_described_and_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cross of the page expands, and is trained on digits as the text says (here on some of them)."""
    real = digits.read

    def some(size: int, split: digits.Split) -> Parts:
        parts = real(size, split)
        return Parts(train=parts.train.take(slice(64)), test=parts.test.take(slice(8)))

    monkeypatch.setattr(digits, "read", some)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cross.toml").write_text(block("docs/own-designs.md", "toml"), encoding="utf-8")
    assert main(("describe", "cross.toml", "--json")) == 0
    described = json.loads(capsys.readouterr().out)
    assert (described["name"], described["family"]) == ("grouped pyramid in two streams", "blueprint")
    assert [unit["stride"] for unit in described["units"]] == [1, 1, 2, 1, 2, 1]
    [command] = re.findall(r"`resatlas (train cross\.toml[^`]*)`", PAGES["docs/own-designs.md"])
    assert main((*command.split(), "--epochs", "1", "--set", "validation=0", "--json")) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["design"] == "cross.toml"
    assert results["parameters"] == described["parameters"]
    assert (results["train"]["images"], results["test"]["images"]) == (64, 8)


def test_the_questions_are_those_that_are_put() -> None:
    """Each question that a run is asked is in the table, and no other."""
    assert re.findall(r"^\| `([a-z]+)` \|", PAGES["docs/inside.md"], re.MULTILINE) == list(PROBES)


def tree() -> list[str]:
    """The names below src/resatlas/ in the tree of CONTRIBUTING.md, in its order, and those beside it."""
    lines = block("CONTRIBUTING.md", "", "src/resatlas/").splitlines()
    return [line.split()[0] for line in lines]


def test_the_tree_is_that_of_the_package() -> None:
    """Every folder of the package is in the tree of CONTRIBUTING.md, and nothing else is."""
    [head, *names] = tree()
    assert head == "src/resatlas/"
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    beside = {"tests/", "docs/", "benchmarks/", "errors.py"}
    assert set(names) - beside == folders
    assert len(names) == len(set(names))
    assert (PACKAGE / "errors.py").is_file()
    assert all((ROOT / name).is_dir() for name in ("tests", "docs", "benchmarks"))


def test_the_data_are_those_of_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    """Each data set of the table exists, and each that exists is in the table; a path is anybody's folder."""
    from resatlas.data.catalog import NAMED, resolve

    rows = re.findall(r"^\| (`.*?) \|", PAGES["docs/data.md"], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row) if "/" not in name]
    assert {resolve(name).name.partition(":")[0] for name in named} == set(NAMED)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "](" in text])
def test_files_that_are_linked_exist(page: str) -> None:
    """No link of a page leads nowhere."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", PAGES[page])
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_every_page_is_linked_from_the_readme() -> None:
    """From the Chinese one in Chinese, where there is such a page."""
    english = {page for page in PAGES if page.startswith("docs/") and not page.endswith(CHINESE)}
    assert linked("README.md") == english
    assert linked(f"README{CHINESE}") == {translated(page) for page in english}


def linked(page: str) -> set[str]:
    """The pages of docs/ to which a page has a link."""
    return set(re.findall(r"\]\((docs/[^)#/]+\.md)\)", PAGES[page]))


def translated(page: str) -> str:
    """The page in Chinese, or itself."""
    chinese = page.replace(".md", CHINESE)
    return chinese if chinese in PAGES else page


def test_the_chinese_readme_shows_the_same() -> None:
    """The same code, up to comments, the same headings in number, the same pages in the same order."""
    english, chinese = PAGES["README.md"], PAGES["README.zh-CN.md"]
    for language in ("", "sh", "python"):
        assert [*map(commands, blocks("README.md", language))] == [*map(commands, blocks("README.zh-CN.md", language))]
    assert [len(re.findall("^#+ ", text, re.MULTILINE)) for text in (english, chinese)] == [6, 6]
    rows = [re.findall(r"^\| (?=\[)(.*?) \|", text, re.MULTILINE) for text in (english, chinese)]
    first, second = ([re.findall(r"\]\((.*?)\)", row) for row in each] for each in rows)
    assert first == second
