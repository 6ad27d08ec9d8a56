"""The lock of a folder says who holds it, from the first moment on."""

import os
import socket
from pathlib import Path

import pytest

from resatlas.errors import FolderError
from resatlas.runs import lock
from resatlas.runs.files import write_json
from resatlas.runs.lock import OWNER, locked


def test_the_holder_is_named_before_anything_else_is_in_the_folder(tmp_path: Path) -> None:
    """By its pid, its host and the time since when; afterwards the folder is as it was."""
    words = rf"is locked by pid {os.getpid()} on {socket.gethostname()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    with locked(tmp_path), pytest.raises(FolderError, match=words), locked(tmp_path):
        raise AssertionError("two hold one lock")
    assert list(tmp_path.iterdir()) == []


def nobody(_pid: int) -> bool:
    """Nobody lives here."""
    return False


def test_a_holder_on_another_host_is_not_looked_for_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has its number here is another process."""
    monkeypatch.setattr(lock, "alive", nobody)
    with locked(tmp_path):
        write_json(tmp_path / OWNER, {"pid": 1, "host": "elsewhere", "since": "then"}, within=tmp_path)
        with pytest.raises(FolderError, match="is locked by pid 1 on elsewhere since then"), locked(tmp_path):
            raise AssertionError("two hold one lock")


def test_a_holder_that_has_not_signed_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the lock and its owner's file there is a moment."""
    with locked(tmp_path):
        (tmp_path / OWNER).unlink()

        def sign(_seconds: float) -> None:
            write_json(tmp_path / OWNER, {"pid": os.getpid(), "host": socket.gethostname()}, within=tmp_path)

        monkeypatch.setattr(lock.time, "sleep", sign)
        with pytest.raises(FolderError, match=f"is locked by pid {os.getpid()} on"), locked(tmp_path):
            raise AssertionError("two hold one lock")
