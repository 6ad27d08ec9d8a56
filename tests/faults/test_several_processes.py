"""If several processes are stopped, or one is killed or fails, all end soon with a message, or all continue."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from resatlas.cli import launching
from resatlas.errors import ProcessLost
from resatlas.runs.store import Run
from tests.faults.ranks import ended, fault, launched, listed, met, world
from tests.training import processes
from tests.training.small import DATA, DESIGN, STEPS, assert_same, last_checkpoint

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--set", "norm_group=8", "--save-every", "0")
SHORT = (*TRAIN, "--epochs", "3", "--quiet")
RESATLAS = ("-m", "tests.faults.ranks")
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
STEP = STEPS + 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An undisturbed training in two processes."""
    folder = tmp_path_factory.mktemp("whole")
    assert world(folder, *SHORT, "--out", str(folder / "run")) == [processes.Ended(0, "", "")] * 2
    return Run(folder / "run")


def test_torchrun_starts_all_again_where_one_was_killed(whole: Run, tmp_path: Path) -> None:
    """Both resume from the last checkpoint without losing a bit, and leave no thread of the process group."""
    restarting = (*TORCHRUN, "--max-restarts", "2", *RESATLAS)
    code, err = ended(launched(tmp_path, *restarting, *SHORT, "--out", "run", fault=f"killed 1 {STEP} once"))
    assert code == 0, err
    assert_same(Run(tmp_path / "run"), whole)
    for rank in range(2):
        threads = (tmp_path / f"threads of {rank}").read_text().split()
        assert "python" in threads
        assert [name for name in threads if "gloo" in name] == []


def test_the_leading_process_may_be_killed_too(whole: Run, tmp_path: Path) -> None:
    """With `--processes` the launcher names the killed process and restarts all; the lock is free again."""
    command = (*RESATLAS, *SHORT, "--out", "run", "--processes", "2")
    code, told = ended(launched(tmp_path, *command, fault=f"killed 0 {STEP} once"))
    assert (code, told) == (0, "process 1 of 2 was killed by SIGKILL; all processes restart from the last checkpoint\n")
    assert_same(Run(tmp_path / "run"), whole)


@pytest.mark.parametrize(("restart", "starts"), [(["more"], 3), (None, 1)])
def test_what_is_killed_again_and_again_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], restart: list[str] | None, starts: int
) -> None:
    """After two restarts, or at once if a restart is impossible, an error names the killed process and a remedy."""
    tried: list[list[str]] = []

    def killed(_processes: int, words: list[str]) -> str:
        tried.append(words)
        return "process 2 of 2 was killed by SIGKILL"

    monkeypatch.setattr(launching, "_run_group", killed)
    with pytest.raises(ProcessLost) as error:
        launching.launch(2, ["first"], restart=restart)
    assert tried == [["first"], *[restart] * (starts - 1)]
    assert str(error.value).startswith("process 2 of 2 was killed by SIGKILL")
    assert ("--resume auto" in str(error.value)) == (restart is not None)
    assert capsys.readouterr().err.count("all processes restart") == starts - 1


def test_a_mistake_in_one_process_ends_all_at_once(tmp_path: Path) -> None:
    """Only its line is printed, without restarts; a checkpoint can be resumed."""
    command = (*RESATLAS, *SHORT, "--out", "run", "--processes", "2")
    code, err = ended(launched(tmp_path, *command, fault=f"mistaken 1 {STEP}"))
    assert code == 70
    assert (err.count("Traceback"), err.count("Defect: ")) == (0, 1)
    assert "ZeroDivisionError: a mistake; this is a defect; rerun with RESATLAS_TRACEBACK=1" in err.splitlines()[-1]
    assert last_checkpoint(Run(tmp_path / "run")).name == f"step-{STEPS:08d}"
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("rank", [0, 1])
def test_who_is_left_alone_says_so(tmp_path: Path, rank: int) -> None:
    """Without a launcher, the other process detects the loss at once and ends with one line, beside those of torch."""
    ends = world(tmp_path, *SHORT, "--out", str(tmp_path / "run"), first=partial(fault, "killed", rank, STEP))
    assert ends[rank].code == -signal.SIGKILL
    assert ends[1 - rank].code == 1
    assert [line for line in ends[1 - rank].err.splitlines() if "[c10d] " not in line] == [
        "ProcessLost: another of these processes has ended; saved checkpoints are intact; continue a training with "
        "--resume auto"
    ]
    if rank == 1:
        status = json.loads((tmp_path / "run" / "status.json").read_text())
        assert (status["status"], f"ProcessLost: {status['reason']}") == ("failed", ends[0].line)


@pytest.mark.parametrize(
    ("words", "exit_code"), [((*TORCHRUN, "-m", "resatlas"), 1), (("-m", "resatlas"), 75)], ids=["torchrun", "ours"]
)
def test_a_signal_to_the_launcher_stops_all_at_one_step(tmp_path: Path, words: tuple[str, ...], exit_code: int) -> None:
    """One checkpoint, status "stopped", and a line that says how to continue; torchrun itself exits with 1."""
    ours = ("--processes", "2") if exit_code == 75 else ()
    process = launched(tmp_path, *words, *TRAIN, "--epochs", "4000", "--save-every", "1e6", "--out", "run", *ours)
    run = Run(tmp_path / "run")
    assert processes.wait_for(lambda: (run.folder / "metrics.jsonl").exists())
    process.send_signal(signal.SIGTERM)
    code, err = ended(process)
    assert code == exit_code
    stops = [line for line in err.splitlines() if line.startswith("Stopped: by SIGTERM after step ")]
    assert len(stops) == 1
    assert stops[0].endswith("saved; run the same command with --resume auto to continue")
    (saved,) = run.checkpoints.glob("step-*")
    assert saved == last_checkpoint(run)
    assert f"after step {int(saved.name[5:]):,} of" in stops[0]
    status = json.loads((run.folder / "status.json").read_text())
    assert status["status"] == "stopped"


@pytest.mark.parametrize("sizes", [(2, 1), (1, 2)], ids=["from two to one", "from one to two"])
def test_another_number_of_processes_sees_every_image_once(tmp_path: Path, sizes: tuple[int, int]) -> None:
    """Stopped and resumed with another number of processes, which is noted: each step has the same images."""
    command = (*TRAIN, "--epochs", "3", "--resume", "auto", "--out", str(tmp_path / "run"))
    alone = tmp_path / "alone"
    assert processes.run(alone, *command[:-1], "run", first=listed).code == 0
    before, after = (partial(world, tmp_path) if size == 2 else partial(one, tmp_path) for size in sizes)
    assert {end.code for end in before(*command, first=partial(listed, STEP))} == {75}
    stopped = json.loads((last_checkpoint(Run(tmp_path / "run")) / "state.json").read_text())
    assert (stopped["step"], stopped["world_size"]) == (STEP, sizes[0])
    leader, *_ = after(*command, first=listed)
    assert leader.code == 0, leader.err
    note = (
        f"resumes with {sizes[1]} processes, saved with {sizes[0]}: same images, results may differ in their last bits"
    )
    assert note in leader.err.splitlines()
    seen: dict[int, list[int]] = {}
    for rank in range(2):
        for step, images in steps_of(tmp_path / f"rank {rank}"):
            seen.setdefault(step, []).extend(images)
    assert seen == dict(steps_of(alone))
    assert [row["step"] for row in Run(tmp_path / "run").metrics] == [STEPS, 2 * STEPS, 3 * STEPS]


def one(folder: Path, *words: str, first: Callable[[], None]) -> list[processes.Ended]:
    """The end of a single process in the folder of the first of two."""
    return [processes.run(folder / "rank 0", *words, first=first)]


def steps_of(folder: Path) -> list[tuple[int, list[int]]]:
    """(step, images) as a process wrote them."""
    file = folder / "images"
    rows = [[int(word) for word in line.split()] for line in file.read_text().splitlines()] if file.exists() else []
    return [(step, images) for step, *images in rows]


LEAVING = """
import atexit, sys
atexit.register(print, "Python's own end")
sys.argv = ["resatlas", "--version"]
from resatlas.__main__ import run
run()
"""


@pytest.mark.parametrize("size", [1, 2])
def test_one_of_several_leaves_without_the_end_of_python(tmp_path: Path, size: int) -> None:
    """Output and exit code are kept, and threads of torch that still run find everything in place."""
    environment = {**os.environ, "WORLD_SIZE": f"{size}", "RANK": "0"}
    done = subprocess.run(
        [sys.executable, "-c", LEAVING], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("resatlas ")
    assert ("Python's own end" in done.stdout) == (size == 1)


def test_who_is_started_again_meets_nobody_who_died(tmp_path: Path) -> None:
    """The store of torchrun keeps addresses of ended processes, so their successors use another prefix."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    address = {"MASTER_ADDR": "localhost", "MASTER_PORT": f"{store.port}", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    command = (*TRAIN, "--epochs", "1", "--quiet", "--out", str(tmp_path / "run"))
    said: list[set[str]] = []
    for count in ("0", "1"):
        again = {**address, "TORCHELASTIC_RESTART_COUNT": count}
        assert met(tmp_path, *command, address=again) == [processes.Ended(0, "", "")] * 2
        keys = [key for key in store.list_keys() if "report" not in key]  # which come when there is time for them
        said.append({key for key in keys if "gloo" in key or "start" in key})
    assert len(said[1]) == 2 * len(said[0]) > 0


@pytest.mark.parametrize(("group", "code"), [("16", 2), ("none", 0)])
def test_statistics_are_those_of_a_process(tmp_path: Path, group: str, code: int) -> None:
    """A norm group larger than the share of a process is refused; without one, a note names the batch statistics."""
    command = [f"norm_group={group}" if word == "norm_group=8" else word for word in TRAIN]
    leader, other = world(tmp_path, *command, "--epochs", "1", "--out", str(tmp_path / "run"))
    assert (leader.code, other.code) == (code, code)
    refusal = (
        "UsageError: norm_group 16 is more than the 8 images of a batch in each of 2 processes, and processes share "
        "statistics only on GPUs; set norm_group=8 or start fewer processes"
    )
    assert (refusal in leader.err.splitlines()) == (code == 2)
    note = "each of 2 processes normalises by the batch statistics of its own part of a batch"
    assert (note in leader.err.splitlines()) == (code == 0)
