"""The exact help and error messages of the program."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from resatlas import errors
from resatlas.cli.main import VERBS, main
from resatlas.errors import ResatlasError, unknown

HERE = Path(__file__).parent

REFUSED: tuple[tuple[str, ...], ...] = (
    ("descrbe", "resnet-20"),
    ("Describe",),
    ("--jsn",),
    ("",),
    ("describe",),
    ("describe", "resnet-20", "wrn-28-10"),
    ("describe", "wrn2810"),
    ("describe", "nothing-of-ours"),
    ("describe", ""),
    ("describe", "resnet-30"),
    ("describe", "wrn-30-10"),
    ("describe", "imagenet-resnet-20"),
    ("describe", "resnet:depth=1e9"),
    ("eject", "resnet"),
    ("describe", "resnet-20:bsae=4"),
    ("describe", "resnet-20:base=4,base=4"),
    ("describe", "resnet-20:base"),
    ("describe", "resnet-20:base=-4"),
    ("describe", "wrn-28-10:dropout=nan"),
    ("describe", "resnext-29-32x4d:base=8"),
    ("describe", "missing.toml"),
    ("describe", "folder.toml"),
    ("describe", "bad.toml"),
    ("describe", "other.toml"),
    ("describe", "latin.toml"),
    ("describe", "resnet-20", "--image", "3,32"),
    ("describe", "resnet-20", "--image", "3,32,x"),
    ("describe", "resnet-20", "--image", "3x32x32"),
    ("describe", "resnet-20", "--image", "3,0,32"),
    ("describe", "resnet-20", "--image", "3,1,1"),
    ("describe", "resnet-20", "--image", "3,99999,32"),
    ("describe", "resnet-20", "--image", "-3,32,32"),
    ("describe", "resnet-20", "--image"),
    ("describe", "resnet-20", "--classes", "-1"),
    ("describe", "resnet-20", "--classes", "ten"),
    ("describe", "resnet-20", "--clases", "10"),
    ("describe", "resnet-20", "--class=10"),
    ("describe", "resnet-20", "-c"),
    ("describe", "resnet-20", "--json", "--quiet"),
    ("describe", "resnet-20", "--convention"),
    ("describe", "resnet-20", "--draw"),
    ("describe", "resnet-20", "--draw", "network.pdf"),
    ("describe", "resnet-20", "--draw", "bad.toml"),
    ("describe", "resnet-20", "--draw", "bad.toml/network.svg"),
    ("describe", "resnet-20", "--draw", "folder"),
    ("describe", "resnet-20", "--draw", "folder.toml"),
    ("describe", "resnet-20", "--draw", "folder.svg"),
    ("describe", "--draw", "network.svg"),
    ("list", "wnr-*"),
    ("list", "resnet-20", "wrn-28-10"),
    ("list", "--recipe"),
    ("cite",),
    ("cite", "wrn2810"),
    ("cite", "missing.toml"),
    ("verify", "nothing-of-ours"),
    ("verify", "--jso"),
    ("preflight",),
    ("preflight", "wrn2810"),
    ("preflight", "resnet-20", "--data", "digitz"),
    ("preflight", "resnet-20", "--processes", "0"),
    ("preflight", "resnet-20", "--processes", "65"),
    ("preflight", "resnet-20", "--workers", "0"),
    ("preflight", "resnet-20", "--learning-rate", "1"),
    ("preflight", "resnet-20", "--set", "batch=x"),
    ("preflight", "resnet-20", "--checkpoint-activations", "unit"),
    ("preflight", "resnet-20", "--keep", "everything"),
    ("completion", "bsh"),
    ("demo", "--lang", "zn"),
    ("report", "run", "--out", "page.html", "--lang", "chinese"),
    ("report", "pytorchcv/resnet20_cifar10", "--out", "page.html", "--lang", "zh"),
    ("bench", "wrn2810"),
    ("bench", "--question", "trainin"),
    ("bench", "resnet-20-B", "--against", "pytorchvc"),
    ("bench", "--question", "growth", "--against", "pytorchcv"),
    ("bench", "--batch", "0"),
    ("bench", "--batch", "many"),
    ("bench", "--rounds", "-1"),
    ("bench", "--norm-group", "0"),
    ("bench", "--compield"),
    ("bench", "--out", "bad.toml/training"),
    ("bench", "--question", "input", "--engines"),
    ("export", "run", "--ot", "folder"),
    ("export", "folder"),
    ("export", "folder", "--out", "new"),
    ("export", "missing", "--out", "new"),
    ("export", "folder", "--out", "new", "--to", "onxx"),
    ("export", "folder", "--out", "new", "--to", "torch-export", "--precision", "int8"),
    ("export", "folder", "--out", "new", "--to", "executorch"),
    ("export", "folder", "--out", "new", "--precision", "int4"),
    ("export", "folder", "--out", "new", "--precision", "int8", "--calibrate", "0"),
    ("export", "folder", "--out", "new", "--precision", "int8", "--most-loss", "nan"),
    ("export", "folder", "--out", "new", "--most-loss", "1"),
    ("export", "folder", "--out", "new", "--to", "page", "--runtime", "missing"),
)

FILES = {
    "bad.toml": b"schema = 1\nname = \n",
    "other.toml": b'schema = 1\nnaem = "x"\n[widths]\n',
    "latin.toml": b'name = "\xe9"\n',
}


@pytest.fixture
def refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[tuple[str, ...]], str]:
    """A function that runs a wrong command and returns its line on standard error."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    for name in ("folder", "folder.toml", "folder.svg"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)

    def line_of(words: tuple[str, ...]) -> str:
        assert main(words) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.count("\n") == 1
        assert output.err.endswith("\n")
        return output.err

    return line_of


def test_refusals_read_as_their_golden_text(
    refused: Callable[[tuple[str, ...]], str], golden: Callable[[Path, str], None]
) -> None:
    """One line on standard error, nothing on standard output, exit code 2: what was given, what is allowed."""
    golden(HERE / "refusals.txt", "\n".join(f"$ resatlas {shlex.join(words)}\n{refused(words)}" for words in REFUSED))


@pytest.mark.parametrize(
    "words",
    [
        ("x\ny",),
        ("list", "x\ny"),
        ("list", "--x\ny"),
        ("describe", "x\ny"),
        ("describe", "x\ny.toml"),
        ("describe", "resnet-20:x\ny"),
        ("describe", "resnet-20:base=x\ny"),
        ("describe", "resnet-20", "x\ny"),
        ("describe", "resnet-20", "--image", "3\n,32"),
        ("describe", "resnet-20", "--image", "x\ny"),
        ("describe", "resnet-20", "--classes", "x\ny"),
        ("describe", "x" * 10_000),
        ("describe", "x" * 10_000 + ".toml"),
        ("describe", "x\0.toml"),
    ],
    ids=repr,
)
def test_words_of_several_lines_are_refused_in_one(
    refused: Callable[[tuple[str, ...]], str], words: tuple[str, ...]
) -> None:
    """Line breaks, long texts and zero bytes in arguments do not break the line."""
    assert len(refused(words)) < 11_000


def test_help_reads_as_its_golden_text(
    capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verbs, and the options of each."""
    monkeypatch.setenv("COLUMNS", "100")
    text = []
    for words in ((), *((verb,) for verb in VERBS if verb not in ("compare", "dissect", "report"))):
        try:
            code: object = main([*words, "--help"])
        except SystemExit as done:
            code = done.code
        assert code == 0
        text.append(f"$ resatlas {' '.join([*words, '--help'])}\n{capsys.readouterr().out}")
    golden(HERE / "help.txt", "\n".join(text))


def test_no_word_is_a_call_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The program without arguments prints its help."""
    texts = []
    for words in ((), ("--help",), ("-h",)):
        assert main(words) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_module(verb: str) -> None:
    """Every verb of the help can be called."""
    assert find_spec(f"resatlas.cli.{verb}_verb")


def program(*words: str, module: bool, **how: str) -> subprocess.CompletedProcess[str]:
    """The program in a new process, as console script or as module."""
    start = [sys.executable, "-m", "resatlas"] if module else [str(Path(sys.executable).with_name("resatlas"))]
    return subprocess.run([*start, *words], capture_output=True, text=True, check=False, env={**os.environ, **how})


@pytest.mark.parametrize(
    ("words", "code"), [(("list", "dilnet"), 0), (("--version",), 0), (("describe", "resnet-30"), 2)]
)
def test_the_module_is_the_script(words: tuple[str, ...], code: int) -> None:
    """`python -m resatlas` and `resatlas` have the same output and exit code."""
    script, module = (program(*words, module=module) for module in (False, True))
    assert (script.returncode, script.stdout, script.stderr) == (module.returncode, module.stdout, module.stderr)
    assert script.returncode == code
    assert bool(script.stdout) == (code == 0)


@pytest.mark.parametrize(
    "how", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"TERM": "dumb", "COLUMNS": "1"}], ids=str
)
def test_any_terminal_can_show_the_help(how: dict[str, str]) -> None:
    """A character that the terminal cannot show is replaced."""
    done = program("--help", module=True, **how)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: resatlas VERB ")


@pytest.mark.parametrize("words", [("--version",), ("list",)])
def test_a_reader_that_has_gone_is_no_error(words: tuple[str, ...]) -> None:
    """Short and long output into a closed pipe ends without an error."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "resatlas", *words], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [("--version",), ("list",)])
def test_a_full_disk_is_told_in_one_line(words: tuple[str, ...]) -> None:
    """Output that cannot be written gives a message, not a traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "resatlas", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def drawn_errors() -> dict[str, tuple[str, int]]:
    """Parent and exit code of every error in the drawing; without a code it is the parent's."""
    lines = re.findall(r"^( +(?:[│├└─ ]*))(\w+)(?: +(\d+) )?", errors.__doc__ or "", flags=re.MULTILINE)
    above = [(-1, "Exception", 0)]
    drawn = {}
    for indent, name, code in lines:
        while above[-1][0] >= len(indent):
            above.pop()
        _, parent, usual = above[-1]
        drawn[name] = (parent, int(code) if code else usual)
        above.append((len(indent), name, drawn[name][1]))
    return drawn


def test_the_errors_are_the_tree_that_is_drawn() -> None:
    """Names, parents and exit codes are those of the drawing in the module's docstring."""
    ours = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ResatlasError)]
    assert drawn_errors() == {
        error.__name__: (error.__base__.__name__ if error.__base__ else "", error.exit_code) for error in ours
    }


def test_unknown_names_are_told_with_the_nearest() -> None:
    """Up to three near names; if none is near, all names if they are few, else their number."""
    assert unknown("verb", "trian", ["train", "list"]) == 'no verb "trian"; did you mean "train"?'
    assert unknown("knob", "x", ["depth", "base"]) == 'no knob "x"; there are depth, base'
    assert (
        unknown("name", "x", [str(n) for n in range(13)], where="all: list") == 'no name "x"; there are 13 (all: list)'
    )
    assert unknown("verb", "a\nb" * 40, ["train"]) == f'no verb "{("a b" * 40)[:77]}..."; there are train'
