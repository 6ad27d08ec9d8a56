"""If one of several processes does not answer, a note says so, then all end with the reason in the status."""

import json
import re
import signal
from functools import partial
from pathlib import Path

import pytest

from resatlas.runs.store import Run
from tests.faults.ranks import at_work, begun, ended, fault, free_address, launched
from tests.faults.test_several_processes import RESATLAS, STEP, TORCHRUN, TRAIN
from tests.training import processes
from tests.training.small import STEPS, last_checkpoint


def status_of(folder: Path) -> tuple[str, str]:
    """The status and the reason in status.json of the run."""
    status = json.loads((folder / "run" / "status.json").read_text())
    return status["status"], status["reason"]


@pytest.mark.parametrize("what", ["stopped", "stuck"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_silent_process_is_named_then_all_end(tmp_path: Path, what: str, rank: int) -> None:
    """The first of the others prints who is silent and for how long, repeats it, and writes it to status.json."""
    command = (*TRAIN, "--epochs", "3", "--out", str(tmp_path / "run"))
    programs = begun(tmp_path, *command, address=free_address(), first=partial(fault, what, rank, STEP))
    other = programs[1 - rank].ended()
    silent = programs[rank].process
    if silent.is_alive():
        silent.kill()
    name = rf"process {rank + 1} of 2 \(rank {rank}, pid {silent.pid} on \S+\)"
    *notes, last = [line for line in other.err.splitlines() if "has not answered" in line]
    assert other.code == 1
    assert len(notes) > 1  # a busy machine looks less often
    for line in notes:
        assert re.fullmatch(rf"{name} has not answered for \d+ s; all processes end at 4 s \(--rank-timeout\)", line)
    reason = re.fullmatch(rf"ProcessLost: ({name} has not answered for \d+ s; saved checkpoints .*--resume auto)", last)
    assert reason
    assert status_of(tmp_path) == ("failed", reason[1])
    assert "Traceback" not in other.err
    assert last_checkpoint(Run(tmp_path / "run")).name == f"step-{STEPS:08d}"


@pytest.mark.parametrize(("launcher", "exit_code"), [(TORCHRUN, 1), ((), 75)], ids=["torchrun", "ours"])
def test_a_stop_ends_all_though_one_is_silent(tmp_path: Path, launcher: tuple[str, ...], exit_code: int) -> None:
    """A signal to the launcher while one process is stopped: the other prints the reason, and no process is left."""
    ours = () if launcher else ("--processes", "2")
    command = (*launcher, *RESATLAS, *TRAIN, "--epochs", "3", "--out", "run", *ours)
    process = launched(tmp_path, *command, fault=f"halted 1 {STEP}")
    assert processes.wait_for(lambda: any(map(paused, at_work(tmp_path))))
    process.send_signal(signal.SIGTERM)
    code, err = ended(process)
    assert code == exit_code
    (stop,) = [line for line in err.splitlines() if line.startswith("Stopped: ")]
    name = r"process 2 of 2 \(rank 1, pid \d+ on \S+\)"
    assert re.match(rf"Stopped: by SIGTERM; {name} has not answered for \d+ s, so this step is not saved; ", stop)
    assert status_of(tmp_path) == ("stopped", stop.removeprefix("Stopped: "))
    assert last_checkpoint(Run(tmp_path / "run")).name == f"step-{STEPS:08d}"


def test_our_launcher_starts_none_again_after_silence(tmp_path: Path) -> None:
    """At the limit of --rank-timeout all end with the code of a lost process, and the launcher kills the rest."""
    command = (*RESATLAS, *TRAIN, "--epochs", "3", "--quiet", "--out", "run", "--processes", "2")
    code, err = ended(launched(tmp_path, *command, fault=f"stuck 1 {STEP}"))
    assert code == 1
    assert err.count("ProcessLost: ") == 1, err
    line = err.splitlines()[-1]
    assert line.startswith("ProcessLost: process 2 of 2 (rank 1, pid ")
    assert status_of(tmp_path) == ("failed", line.removeprefix("ProcessLost: "))


def paused(pid: int) -> bool:
    """Whether a process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
