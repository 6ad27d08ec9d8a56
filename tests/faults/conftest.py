"""An undisturbed run, and the refusals of the program."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.runs.store import Run
from tests.training.small import carried_out


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest experiment, trained without interruption."""
    return carried_out(tmp_path_factory.mktemp("unbroken") / "run")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The single line of a command that fails in an empty folder, with the expected exit code."""
    monkeypatch.chdir(tmp_path)

    def refusal(*words: str, code: int = 2) -> str:
        assert main(words) == code, capsys.readouterr()
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.endswith("\n")
        return err.rstrip("\n")

    return refusal
