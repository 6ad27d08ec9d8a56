"""Two torchrun launchers on one machine as two nodes: if one is lost or hangs, the other ends with a message."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest

from resatlas.runs.store import Run
from tests.faults.ranks import at_work, ended, free_address, launched
from tests.faults.test_several_processes import RESATLAS, SHORT, STEP
from tests.faults.test_silence import paused, status_of
from tests.training import processes
from tests.training.small import STEPS, last_checkpoint

Meeting = Literal["by rank", "c10d"]
"""How launchers find each other: by their ranks, or by a store at which they join."""


@contextmanager
def nodes(
    folder: Path, *, fault: str, restarts: int = 0, meeting: Meeting = "by rank"
) -> Iterator[list["subprocess.Popen[str]"]]:
    """Two launchers with one process each, which restart their processes so often; a process has a fault."""
    port = free_address()["MASTER_PORT"]
    launchers = []
    try:
        for rank in range(2):
            (folder / f"node {rank}").mkdir()
            more = ("--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", str(restarts))
            torchrun = ("-m", "torch.distributed.run", *more, *where_to_meet(meeting, rank, port))
            words = (*torchrun, *RESATLAS, *SHORT, "--out", str(folder / "run"))
            launchers.append(launched(folder / f"node {rank}", *words, fault=fault))
        yield launchers
    finally:
        for rank in range(2):
            send(folder / f"node {rank}", signal.SIGKILL)


def where_to_meet(meeting: Meeting, rank: int, port: str) -> tuple[str, ...]:
    """The words of a launcher that find the others."""
    if meeting == "by rank":
        return ("--node-rank", str(rank), "--master-addr", "127.0.0.1", "--master-port", port)
    host = ("--rdzv-conf", f"is_host={rank == 0},join_timeout=45")
    return ("--rdzv-backend", "c10d", "--rdzv-id", "test", "--rdzv-endpoint", f"127.0.0.1:{port}", *host)


def send(node: Path, number: signal.Signals) -> None:
    """Send a signal to the launcher and the process of a node."""
    for pid in at_work(node):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def lines_of_loss(err: str) -> list[str]:
    """The lines of resatlas about a lost process."""
    return [line for line in err.splitlines() if line.startswith("ProcessLost: ")]


@pytest.mark.parametrize(("lost", "meeting"), [(0, "by rank"), (1, "by rank"), (0, "c10d")])
def test_a_killed_node_ends_the_other_in_words(tmp_path: Path, lost: int, meeting: Meeting) -> None:
    """Also the node that has the store: the other ends at once, with one line, and its checkpoints are intact."""
    with nodes(tmp_path, fault=f"stopped {lost} {STEP}", meeting=meeting) as launchers:
        gone = faulty_node(tmp_path)
        send(tmp_path / f"node {gone}", signal.SIGKILL)
        code, err = ended(launchers[1 - gone])
        assert code == 1
        (line,) = lines_of_loss(err)
        assert re.search(r"has ended|has not answered|does not respond", line)
        assert "saved checkpoints are intact; continue a training with --resume auto" in line
        launchers[gone].communicate()
    assert last_checkpoint(Run(tmp_path / "run")).name == f"step-{STEPS:08d}"


@pytest.mark.parametrize("meeting", ["by rank", "c10d"])
def test_a_lost_node_is_not_waited_for_without_a_word(tmp_path: Path, meeting: Meeting) -> None:
    """With restarts left, the line says what torchrun does; what it starts names the node and ends after a while."""
    with nodes(tmp_path, fault=f"stopped 1 {STEP}", restarts=1, meeting=meeting) as launchers:
        gone = faulty_node(tmp_path)
        send(tmp_path / f"node {gone}", signal.SIGKILL)
        code, err = ended(launchers[1 - gone])
        assert code == 1
        first, *others = lines_of_loss(err)
        again = "torchrun starts all again (1 restart left) if the other nodes answer; otherwise continue with --resume"
        assert again in first
        if meeting == "c10d":
            assert "RendezvousTimeoutError" in err
        else:
            (last,) = others
            missing = r"process 2 of 2 \(rank 1, not started yet\) has not answered for \d+ s"
            assert re.fullmatch(
                rf"ProcessLost: {missing}; saved checkpoints are intact; continue a training with --resume auto", last
            )
        launchers[gone].communicate()
    assert last_checkpoint(Run(tmp_path / "run")).name == f"step-{STEPS:08d}"


def faulty_node(folder: Path) -> int:
    """Wait until a process has met its fault, and return its node: c10d deals ranks in the order of arrival."""
    stopped = list[int]()

    def found() -> bool:
        stopped.extend(node for node in range(2) if any(map(paused, at_work(folder / f"node {node}"))))
        return bool(stopped)

    assert processes.wait_for(found)
    return stopped[0]


def test_a_stopped_node_is_named_and_ends_when_it_continues(tmp_path: Path) -> None:
    """The other names rank and host and ends at --rank-timeout; the node itself ends with a line once it runs again."""
    node = tmp_path / "node 1"
    with nodes(tmp_path, fault=f"stopped 1 {STEP}") as launchers:
        assert processes.wait_for(lambda: any(map(paused, at_work(node))))
        send(node, signal.SIGSTOP)
        code, err = ended(launchers[0])
        assert code == 1
        (line,) = lines_of_loss(err)
        assert re.match(r"ProcessLost: process 2 of 2 \(rank 1, pid \d+ on \S+\) has not answered for \d+ s; ", line)
        assert status_of(tmp_path) == ("failed", line.removeprefix("ProcessLost: "))
        send(node, signal.SIGCONT)
        code, err = ended(launchers[1])
        assert code != 0
        assert lines_of_loss(err)


def test_a_killed_process_restarts_on_both_nodes(tmp_path: Path) -> None:
    """With --max-restarts, while its launcher lives: the other process ends too, and both resume from a checkpoint."""
    with nodes(tmp_path, fault=f"killed 0 {STEP} once", restarts=1) as launchers:
        for launcher in launchers:
            _, err = launcher.communicate(timeout=processes.PATIENCE)
            assert launcher.returncode == 0, err
    environment = Run(tmp_path / "run").record().environment
    assert environment
    assert [start.step for start in environment.starts] == [0, STEPS]
    assert Run(tmp_path / "run").concluded
