"""Disks that are full and folders that go away: one line, everything that was saved still there."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from resatlas.errors import CheckpointError
from resatlas.runs.store import Run
from resatlas.training.checkpoint import fault, save
from tests.faults import hazards
from tests.training import processes
from tests.training.small import DATA, DESIGN, STEPS, assert_same, last_checkpoint, stepped, take_steps

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0", "--out", "run")
RESUME = (*TRAIN, "--resume", "auto", "--quiet")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a number of bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_at_any_byte_is_told_with_the_bytes_needed(tmp_path: Path) -> None:
    """Wherever a file of the checkpoint ends, the old one stays whole, no draft does, and the need is said."""
    state, save_it = stepped(3), partial(save, experiment="0" * 64)
    first = save_it(state, tmp_path)
    take_steps(state, 1)
    weights = sum(tensor.nbytes for tensor in state.network.state_dict().values())
    largest = (first / "model.safetensors").stat().st_size
    for size in (0, 1, 7, 8, 9, *range(100, largest, largest // 9), largest - 1):
        with room_for(size), pytest.raises(CheckpointError) as refused:
            save_it(state, tmp_path)
        words, needed = str(refused.value).split(" the checkpoint needs more than ")
        assert words == f"{tmp_path / 'step-00000004'} cannot be written: file too large;"
        assert int(needed.removesuffix(" bytes").replace(",", "")) > weights
        assert fault(first) is None
        assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-00000003"]
    assert fault(save_it(state, tmp_path)) is None


def test_a_disk_that_fills_in_a_training_costs_what_came_after_the_last_save(unbroken: Run, tmp_path: Path) -> None:
    """Exit code 4 and a line with the need, the last checkpoint whole; with room again, the same command goes on."""
    ended = processes.run(tmp_path, *TRAIN, "--quiet", first=partial(hazards.full_disk_at, STEPS + 2, 3000))
    assert (ended.code, ended.out) == (4, "")
    assert ended.line.startswith("CheckpointError: run/checkpoints/step-00000010 cannot be written: file too large; ")
    run = Run(tmp_path / "run")
    status = json.loads((run.folder / "status.json").read_text())
    assert status["status"] == "failed"
    assert ended.line.endswith(status["reason"])
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["latest", "step-00000005"]
    assert last_checkpoint(run).name == "step-00000005"
    assert processes.run(tmp_path, *RESUME) == processes.Ended(0, "", "")
    assert_same(run, unbroken)


def test_a_file_that_became_a_link_to_a_device_ends_the_training(unbroken: Run, tmp_path: Path) -> None:
    """Nothing is written through the link: the line names the file, and what was saved goes on."""
    hazard = partial(hazards.full_device_at, STEPS + 2, "metrics.jsonl")
    ended = processes.run(tmp_path, *TRAIN, "--quiet", first=hazard)
    assert (ended.code, ended.out) == (2, "")
    assert ended.line.startswith("FolderError: run/metrics.jsonl is a link; only real files and folders inside a run ")
    run = Run(tmp_path / "run")
    (run.folder / "metrics.jsonl.kept").replace(run.folder / "metrics.jsonl")
    assert processes.run(tmp_path, *RESUME) == processes.Ended(0, "", "")
    assert_same(run, unbroken)


def test_a_training_whose_progress_finds_no_room_goes_on(unbroken: Run, tmp_path: Path) -> None:
    """A log on a full disk does not end it."""
    ended = processes.run(tmp_path, *TRAIN, "--json", first=partial(hazards.full_device_for, 2))
    assert ended.code == 0
    assert json.loads(ended.out) == Run(tmp_path / "run").record().written
    assert_same(Run(tmp_path / "run"), unbroken)


@pytest.mark.parametrize("command", ['"$@" >out 2>&-; echo $? >code', '{ "$@" >out; echo $? >code; } 2>&1 | true'])
def test_a_training_whose_progress_nobody_reads_goes_on(unbroken: Run, tmp_path: Path, command: str) -> None:
    """Neither a closed output nor a reader that has gone ends it, and nothing is written into another file."""
    words = (sys.executable, "-m", "resatlas", *TRAIN, "--json")
    subprocess.run(["sh", "-c", command, "sh", *words], cwd=tmp_path, check=True)  # noqa: S607 - any shell
    assert (tmp_path / "code").read_text() == "0\n"
    assert json.loads((tmp_path / "out").read_text()) == Run(tmp_path / "run").record().written
    assert_same(Run(tmp_path / "run"), unbroken)


def test_results_that_no_one_can_print_are_in_the_run(unbroken: Run, tmp_path: Path) -> None:
    """Standard output on a full disk is an error in a line, after the work was done."""
    ended = processes.run(tmp_path, *RESUME[:-1], "--json", first=partial(hazards.full_device_for, 1))
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "ResatlasError: standard output: No space left on device"
    assert_same(Run(tmp_path / "run"), unbroken)


@pytest.mark.parametrize("step", [1, STEPS, STEPS + 2, 3 * STEPS])
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_folder_that_is_removed_in_a_training_ends_it_in_a_line(
    tmp_path: Path, step: int, number: signal.Signals | None
) -> None:
    """Neither a hang nor a new folder of half a run, and no claim that anything is saved."""
    ended = processes.run(tmp_path, *TRAIN, "--quiet", first=partial(hazards.removed_at, step, number))
    assert ended.code in (1, 2, 4)
    assert ended.out == ""
    assert "no such file or directory" in ended.line or "run is not a run folder: it does not exist" in ended.line
    assert "saved" not in ended.line
    assert not (tmp_path / "run").exists()


def test_a_folder_without_permission_is_told_before_the_first_epoch(tmp_path: Path) -> None:
    """Exit code 2 and the folder, whether the run would be made in it or goes on in it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    command = (*TRAIN[:-1], str(closed / "run"))
    ended = processes.run(tmp_path, *command, first=hazards.bound_by_permissions)
    assert (ended.code, ended.out) == (2, "")
    assert ended.line == f"FolderError: {closed / 'run'} cannot be written: no permission in {closed}"
    assert processes.run(tmp_path, *command[:-1], "run", "--quiet").code == 0
    run = tmp_path / "run"
    (run / "results.json").unlink()
    run.chmod(0o555)
    ended = processes.run(tmp_path, *RESUME, first=hazards.bound_by_permissions)
    run.chmod(0o755)
    assert (ended.code, ended.line) == (2, "FolderError: run cannot be written: no permission in run")
