"""Unexpected errors end in one line and exit code 70; a lack of memory has its own message."""

import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch

from resatlas.bench.crew import Contender, crews
from resatlas.bench.tasks import Ours
from resatlas.cli import main as program
from resatlas.cli.main import VERBS, main
from resatlas.errors import Defect, OutOfMemory
from resatlas.studies import runner
from resatlas.training import loop
from resatlas.training.session import UNWATCHED
from tests.comparing.folders import Subject, write_errors
from tests.training.small import DATA, DESIGN, EXPERIMENT

REPORT = "this is a defect; rerun with RESATLAS_TRACEBACK=1 and report it"
TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "1", "--out", "run")

Fail = Callable[[str, BaseException], None]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fail:
    """Let a verb, called in an empty folder, raise an error."""
    monkeypatch.chdir(tmp_path)

    def failing(verb: str, error: BaseException) -> None:
        def raising(*_: object) -> NoReturn:
            raise error

        module = SimpleNamespace(OPTIONS={}, arguments=vars, run=raising)
        monkeypatch.setattr(program, "verb_of", {verb: module}.__getitem__)

    return failing


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_ends_in_a_traceback(verb: str, fail: Fail, capfd: pytest.CaptureFixture[str]) -> None:
    """One line on standard error: what the program was doing, the error, a remedy; exit code 70."""
    fail(verb, ZeroDivisionError("no\nnumber \x1b[1m" + "x" * 1000))
    assert main((verb,)) == Defect.exit_code == 70
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert len(err) < 400
    assert err.startswith(f"Defect: resatlas {verb}: ZeroDivisionError: no number ?[1mxxx")
    assert err.endswith(f"{REPORT}\n")


@pytest.mark.parametrize("verb", VERBS)
def test_the_traceback_is_there_for_whoever_asks(
    verb: str, fail: Fail, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment variable enables it; the line is still last, and the exit code the same."""
    monkeypatch.setenv("RESATLAS_TRACEBACK", "1")
    fail(verb, ZeroDivisionError("no number"))
    assert main((verb,)) == 70
    err = capfd.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "in raising" in err
    assert err.splitlines()[-1] == f"Defect: resatlas {verb}: ZeroDivisionError: no number; {REPORT}"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RecursionError("maximum recursion depth exceeded"), 70, "Defect: resatlas list: RecursionError: maximum"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), 70, "Defect: resatlas list: UnicodeEncodeError: "),
        (AssertionError(), 70, f"Defect: resatlas list: AssertionError; {REPORT}"),
        (ImportError("no symbol", name="resatlas.arch"), 70, "Defect: resatlas list: ImportError: no symbol"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            "cannot be imported: No module named 'torch'",
        ),
        (OSError(28, "No space left on device", "a"), 1, "ResatlasError: a cannot be used: no space left on device"),
    ],
)
def test_every_kind_of_error_has_its_line(
    error: Exception, code: int, words: str, fail: Fail, capfd: pytest.CaptureFixture[str]
) -> None:
    """A missing or broken package is a fault of the installation, and a full disk is not a defect."""
    fail("list", error)
    assert main(("list",)) == code
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_an_option_that_argparse_cannot_show_is_a_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A percent sign in a help text is an error inside argparse."""

    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--odd", help="100 %")

    monkeypatch.setattr(program, "verb_of", {"list": SimpleNamespace(arguments=arguments)}.__getitem__)
    assert main(("list", "--help")) == 70
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("verb", "remedy"),
    [
        ("train", "--set norm_group=N below the batch, --checkpoint-activations segments"),
        ("evaluate", "--test-batch N"),
        ("report", "fewer runs on one page"),
    ],
)
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "needs more memory than there is; to use less: "),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes."),
            "needs more memory than there is (an allocation of 65,536 MiB failed); to use less: ",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1"),
            "needs more memory than the GPU has (an allocation of 2.00 GiB failed); to use less: ",
        ),
    ],
    ids=("Python", "CPU", "GPU"),
)
def test_a_lack_of_memory_says_what_takes_less(
    verb: str, remedy: str, error: Exception, words: str, fail: Fail, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is not a defect: one sentence, exit code 1."""
    fail(verb, error)
    assert main((verb,)) == OutOfMemory.exit_code == 1
    err = capfd.readouterr().err
    assert err.startswith(f"OutOfMemory: resatlas {verb} {words}{remedy}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("where", ["step", "material"])
def test_the_status_of_a_run_says_why_it_failed(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a step and before the first one: status failed, with the printed line."""

    def mistaken(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("a\nmistake")

    monkeypatch.chdir(tmp_path)
    if where == "step":
        monkeypatch.setattr(loop, "step", mistaken)
    else:
        monkeypatch.setattr("resatlas.training.splits.pipeline_for", mistaken)
    assert main((*TRAIN, "--quiet")) == 70
    assert capfd.readouterr().err == f"Defect: resatlas train {DESIGN}: ZeroDivisionError: a mistake; {REPORT}\n"
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["status"], status["epoch"]) == ("failed", 0)
    assert status["reason"] == f"training run: ZeroDivisionError: a mistake; {REPORT}"


@pytest.mark.parametrize(("error", "kind"), [(KeyError("x"), Defect), (MemoryError(), OutOfMemory)])
def test_a_worker_of_a_study_hands_back_a_line(
    error: Exception, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a run becomes a ResatlasError, which the parent can report."""

    def failing(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(runner, "carry_out", failing)
    results = runner._results(EXPERIMENT, tmp_path / "run", UNWATCHED)
    assert type(results) is kind
    assert str(results).startswith(f"training {DESIGN}")
    assert "\n" not in str(results)


def test_what_is_timed_ends_in_a_line() -> None:
    """A programming error in a process of a benchmark is reported as a Defect."""
    task = Ours(designs=(3,), batch=8, norm_group=None, precision="fp32")  # type: ignore[arg-type]
    with (
        pytest.raises(Defect, match=re.escape(REPORT)),
        crews({"ours": Contender(task=task, processes=1, threads=1)}) as crew,
    ):
        crew["ours"].warm()


def test_a_folder_whose_name_is_not_utf8_has_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name is escaped in the title of the page, and its runs are compared as usual."""
    folder = tmp_path / os.fsdecode(b"r\xff")
    for family, wrong in (("plain", (10, 12)), ("resnet", (40, 43))):
        write_errors(folder, Subject(family=family, depth=20), wrong)
    assert main(("report", str(folder), "--out", str(tmp_path / "page.html"))) == 0
    assert "resatlas: r?" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main(("compare", str(folder))) == 0
    assert capsys.readouterr().err == ""
