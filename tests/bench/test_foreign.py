"""The share of the cores that other programs take."""

import time
from pathlib import Path

import pytest

from resatlas.bench.foreign import Ticks, foreign_share, ticks


def process(proc: Path, pid: int, parent: int, *used: int, name: str = "python") -> None:
    """A process that used so many ticks: itself in user and system mode, then its children that have ended."""
    (proc / str(pid)).mkdir(exist_ok=True)
    rest = " ".join(["S", str(parent), *"0" * 9, *map(str, used), "20", "0"])
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {rest}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Two cores; this process has the number 10."""
    (tmp_path / "stat").write_text("cpu  500 20 80 300 100 3 4 5 7 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n")
    process(tmp_path, 1, 0, 1000, 0, 0, 0)
    process(tmp_path, 10, 1, 20, 3, 40, 2)
    process(tmp_path, 11, 10, 100, 0, 0, 0, name="a server) S 1 (of")
    process(tmp_path, 12, 11, 0, 6, 0, 0)
    process(tmp_path, 20, 1, 500, 0, 0, 0)
    (tmp_path / "13").mkdir()  # it has ended
    (tmp_path / "self").mkdir()
    return tmp_path


def test_descendants_are_ours(proc: Path) -> None:
    """Those of a fork server, too, and those that have ended; waiting for a disk is not busy, a stolen core is."""
    assert ticks(proc, own=10) == Ticks(cores=1012, busy=612, ours=171)


def test_the_share_of_others(proc: Path) -> None:
    """Busy ticks that are not ours, of those of all cores."""
    before = ticks(proc, own=10)
    (proc / "stat").write_text("cpu  700 20 80 350 150 3 4 5 7 0\n")
    process(proc, 11, 10, 220, 0, 0, 0, name="a server) S 1 (of")
    assert foreign_share(before, ticks(proc, own=10)) == pytest.approx((200 - 120) / 300)


def test_without_counters_there_is_no_share(tmp_path: Path) -> None:
    """On another system, or where a container hides them."""
    assert ticks(tmp_path) is None
    (tmp_path / "stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\n")
    hidden = ticks(tmp_path)
    assert hidden == Ticks(0, 0, 0)
    assert foreign_share(hidden, hidden) is None
    assert foreign_share(None, hidden) is None


def test_this_process_is_counted() -> None:
    """Its own work is ours; the kernel counts whole ticks."""
    before = ticks()
    if before is None:
        pytest.skip("this system has no /proc/stat")
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    after = ticks()
    assert after is not None
    assert after.ours - before.ours >= 20
    assert foreign_share(before, after) is not None
