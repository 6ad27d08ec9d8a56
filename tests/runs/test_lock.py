"""The lock of a folder says who holds it, from the first moment on, and passes on from a machine that is gone."""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.errors import FolderError, Stopped
from resatlas.runs import lock
from resatlas.runs.files import write_json
from resatlas.runs.lock import OWNER, PATIENCE, Holder, attempt, check_held, locked
from resatlas.values.codec import encode
from resatlas.values.machine import identity

SINCE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def test_the_holder_is_named_before_anything_else_is_in_the_folder(tmp_path: Path) -> None:
    """By its pid, its host and the time since when; afterwards the folder is as it was."""
    words = rf"is locked by pid {os.getpid()} on {socket.gethostname()} since {SINCE}"
    with locked(tmp_path), pytest.raises(FolderError, match=words), locked(tmp_path):
        raise AssertionError("two hold one lock")
    assert list(tmp_path.iterdir()) == []


def nobody(_pid: int) -> bool:
    """Nobody lives here."""
    return False


def test_a_holder_on_another_host_is_not_looked_for_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has its number here is another process; one of an earlier version has no heartbeat to wait for."""
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


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose locks hold nobody back, as some of several machines have it."""

    def taken(_handle: int, _how: int) -> None:
        """Always given."""

    monkeypatch.setattr(fcntl, "flock", taken)


@pytest.mark.usefixtures("no_flock")
def test_the_signature_locks_where_the_system_does_not(tmp_path: Path) -> None:
    """A living process of this machine is found by its number."""
    words = f"is locked by pid {os.getpid()} on"
    with locked(tmp_path):
        with pytest.raises(FolderError, match=words), locked(tmp_path):
            raise AssertionError("two hold one lock")
        check_held(tmp_path)


def test_the_signature_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    """Its number may be that of another process by now; attempts are counted."""
    sign(tmp_path, replace(here(tmp_path), process=f"{identity(os.getpid())}0"))
    with locked(tmp_path, before=2):
        assert attempt(tmp_path) == 5
        owner = json.loads((tmp_path / OWNER).read_text())
        assert (owner["pid"], owner["attempt"], owner["host"]) == (os.getpid(), 5, socket.gethostname())
        assert owner["boot"] in identity(os.getpid()).split()
    assert attempt(tmp_path) == 0
    with locked(tmp_path, before=7):
        assert attempt(tmp_path) == 8


def test_a_copy_of_a_folder_is_not_locked(tmp_path: Path) -> None:
    """Though it has the signature of a living process."""
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with locked(tmp_path / "copy"):
            assert (tmp_path / "copy" / OWNER).read_text() != (tmp_path / "run" / OWNER).read_text()


def here(folder: Path) -> Holder:
    """The signature of this process in its fourth attempt."""
    own = identity(os.getpid())
    return Holder(
        pid=os.getpid(), host=socket.gethostname(), process=own, folder=folder.stat().st_ino, attempt=4, mark="a"
    )


def elsewhere(folder: Path) -> Holder:
    """The signature of a process of another machine."""
    return replace(here(folder), pid=1, host="elsewhere", process="another-boot pid:[1] 1 1")


def sign(folder: Path, holder: Holder, *, ago: float = 0.0) -> None:
    """Write a signature whose last heartbeat was so many seconds ago."""
    write_json(folder / OWNER, encode(holder), within=folder)
    moment = (folder / OWNER).stat().st_mtime - ago
    os.utime(folder / OWNER, (moment, moment))


def at_look(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], object]) -> list[float]:
    """Do something in place of a wait between two looks; the list gets the seconds of each wait."""
    waits = list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        assert len(waits) < 100
        if len(waits) == number:
            action()

    monkeypatch.setattr(lock.time, "sleep", wait)
    return waits


def test_a_machine_whose_heart_beats_keeps_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next heartbeat is waited for, whatever the clocks of the machines say."""
    for ago in (1.0, PATIENCE - 60, -3600.0):
        sign(tmp_path, elsewhere(tmp_path), ago=ago)
        waits = at_look(monkeypatch, 3, lambda: os.utime(tmp_path / OWNER))
        with pytest.raises(FolderError, match=r"is locked by pid 1 on elsewhere"), locked(tmp_path):
            raise AssertionError("two hold one lock")
        assert len(waits) == 3


def test_a_machine_that_is_silent_loses_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not before two minutes without a heartbeat, which is said; the attempts go on."""
    sign(tmp_path, elsewhere(tmp_path), ago=PATIENCE - 30)
    waits = at_look(monkeypatch, 0, tmp_path.exists)

    def now(folder: Path) -> float:
        return (folder / OWNER).stat().st_mtime + PATIENCE - 30 + 10 * len(waits)

    monkeypatch.setattr(lock, "_now", now)
    with locked(tmp_path):
        assert (attempt(tmp_path), len(waits)) == (5, 4)
    assert "is locked by pid 1 on elsewhere" in caplog.text
    assert "takes over when it is 120 s old" in caplog.text


def test_a_lock_that_reaches_across_machines_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system released the lock of the other machine, its process has ended, and nothing is waited for."""
    sign(tmp_path, elsewhere(tmp_path))
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    waits = at_look(monkeypatch, 2, lambda: os.close(handle))
    with locked(tmp_path):
        assert len(waits) == 2


def test_waiting_can_be_given_up(tmp_path: Path) -> None:
    """By whoever is asked at each look."""
    sign(tmp_path, elsewhere(tmp_path))

    def stop() -> None:
        raise Stopped("now")

    with pytest.raises(Stopped, match="now"), locked(tmp_path, on_wait=stop):
        raise AssertionError("the lock was taken")
    assert (tmp_path / OWNER).exists()


def test_who_was_taken_over_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the new holder, whose signature stays; or that there is none any more."""
    monkeypatch.setattr(lock, "_LOOK", 0.01)
    with locked(tmp_path):
        sign(tmp_path, elsewhere(tmp_path))
        with pytest.raises(FolderError, match="was taken over by pid 1 on elsewhere"):
            check_held(tmp_path)
    assert (tmp_path / OWNER).exists()
    (tmp_path / OWNER).unlink()
    with locked(tmp_path):
        (tmp_path / OWNER).unlink()
        with pytest.raises(FolderError, match="has disappeared: another process may have taken over"):
            check_held(tmp_path)
    check_held(tmp_path)


def test_the_heart_beats_while_the_lock_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the process itself is busy; never on the signature of another."""
    monkeypatch.setattr(lock, "BEAT", 0.02)
    with locked(tmp_path):
        first = (tmp_path / OWNER).stat().st_mtime_ns
        wait_for(lambda: (tmp_path / OWNER).stat().st_mtime_ns > first)
        sign(tmp_path, elsewhere(tmp_path), ago=60)
        other = (tmp_path / OWNER).stat().st_mtime_ns
        time.sleep(0.2)
        assert (tmp_path / OWNER).stat().st_mtime_ns == other


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true; a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
