"""Whatever a cluster carries out without a sign of life is named, at ever longer intervals."""

import time
from pathlib import Path

import pytest

from resatlas.runs.lock import OWNER, locked
from resatlas.studies.heartbeats import Heartbeats
from resatlas.studies.study import read_study
from resatlas.studies.submitting import ClusterProgress, Report
from tests.studies import tiny


class Clock:
    """A clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def notes(self, heartbeats: Heartbeats, stamps: dict[str, float], *, seconds: int) -> dict[int, str]:
        """The notes of so many seconds, by their second, with a look in each."""
        notes = {}
        for second in range(1, seconds + 1):
            self.now += 1
            heartbeats.look(stamps)
            if note := heartbeats.note():
                notes[second] = note
        return notes


def test_silence_is_told_at_doubling_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first look on; a touch starts anew; what is no longer watched is forgotten."""
    clock = Clock(monkeypatch)
    heartbeats = Heartbeats(warn_after=10)
    heartbeats.look({"a": 5.0})
    assert clock.notes(heartbeats, {"a": 5.0}, seconds=45) == {
        second: f"no sign of life for {second} s from a" for second in (10, 20, 40)
    }
    assert clock.notes(heartbeats, {"a": 6.0}, seconds=10) == {}
    assert heartbeats.silence("a") == 9
    assert clock.notes(heartbeats, {"a": 6.0}, seconds=1) == {1: "no sign of life for 10 s from a"}
    assert clock.notes(heartbeats, {}, seconds=60) == {}
    assert heartbeats.silence("a") == 0


def test_all_that_is_silent_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first three by their names."""
    clock = Clock(monkeypatch)
    heartbeats = Heartbeats(warn_after=10)
    stamps = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}
    heartbeats.look(stamps)
    assert clock.notes(heartbeats, stamps, seconds=10) == {10: "no sign of life for 10 s from a, b, c and 1 other"}


def test_a_watcher_that_was_paused_itself_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour between two looks counts as a few seconds."""
    clock = Clock(monkeypatch)
    heartbeats = Heartbeats(warn_after=60)
    heartbeats.look({"a": 0.0})
    clock.now += 3600
    heartbeats.look({"a": 0.0})
    assert heartbeats.note() == ""


def test_a_run_whose_process_hangs_is_named_on_any_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its process and what to do; a run whose holder has released it is not."""
    study, notes = read_study(tiny.write(tmp_path)), list[str]()

    def on_progress(progress: ClusterProgress) -> None:
        notes.append(progress.note)

    [name, *_] = study.distinct_experiments()
    folder = tmp_path / "out" / name
    folder.mkdir(parents=True)
    clock = Clock(monkeypatch)
    report = Report(study, tmp_path / "out", on_progress, engine="SLURM", warn_after=3)
    with locked(folder):
        signature = (folder / OWNER).read_text()
    for present in (True, False):
        if present:
            (folder / OWNER).write_text(signature)
        else:
            (folder / OWNER).unlink()
        notes.clear()
        for _ in range(5):
            clock.now += 1
            report.say()
        warnings = [note for note in notes if note]
        assert len(warnings) == present
        for warning in warnings:
            assert warning.startswith(f"no sign of life for 3 s from {name} (pid ")
            assert "; SLURM begins a lost share again once it notices; end what hangs with kill -9" in warning
            assert warning.endswith("or press Ctrl-C and rerun the command")
