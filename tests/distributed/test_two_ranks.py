"""Two processes train like one: same images, same losses, one checkpoint, one output."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from resatlas.runs.names import checkpoint_name
from resatlas.runs.store import Run
from tests.data.pictures import write_parts
from tests.training.processes import wait_for
from tests.training.small import DATA, DESIGN, last_checkpoint, tensors

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--set", "norm_group=8", "--save-every", "0")
REPEATED = ("--set", "repeats=2")


def started(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """The program in a folder, with one thread per process, in its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "resatlas", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a process, which must end."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same training by one process and by two, which save after every step."""
    folder = tmp_path_factory.mktemp("ranks")
    for name, more in (("one", ()), ("two", ("--processes", "2", "--save-every", "1e-9"))):
        code, out, err = ended(started(folder, *TRAIN, *REPEATED, "--epochs", "3", "--out", name, "--json", *more))
        assert code == 0, err
        assert json.loads(out)["epochs"] == 3
        assert len([line for line in err.splitlines() if line.startswith("epoch ")]) == 3
    return folder


def test_two_ranks_learn_what_one_learns(runs: Path) -> None:
    """With equal norm groups, losses, rates and errors are equal, and weights up to the order of sums."""
    one, two = Run(runs / "one"), Run(runs / "two")
    for mine, theirs in zip(one.metrics, two.metrics, strict=True):
        assert mine.keys() == theirs.keys()
        assert list(theirs.values()) == pytest.approx(list(mine.values()), rel=1e-5)
    left, right = (tensors(last_checkpoint(run)) for run in (one, two))
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert (tensor.double() - right[name].double()).abs().max() < 1e-5, name
    assert json.loads((last_checkpoint(two) / "state.json").read_text())["world_size"] == 2


def test_two_ranks_save_inside_an_epoch(runs: Path) -> None:
    """What is kept are the last step and the end of the epoch before it for one, the last two steps for two."""
    names = [sorted(path.name for path in (runs / name / "checkpoints").glob("step-*")) for name in ("one", "two")]
    last = Run(runs / "one").metrics[-1]["step"]
    per_epoch = last // 3
    assert names[0] == [checkpoint_name(last - per_epoch), checkpoint_name(last)]
    assert names[1] == [checkpoint_name(last - 1), checkpoint_name(last)]


def test_predictions_count_every_image_once(runs: Path) -> None:
    """Each process predicts its share of the test images, and one file has all in order."""
    rows = [(runs / name / "predictions.csv").read_text().splitlines() for name in ("one", "two")]
    assert [line.split(",")[:2] for line in rows[0]] == [line.split(",")[:2] for line in rows[1]]
    assert len(rows[1]) == 1 + 24


def test_ctrl_c_stops_all_at_one_step(tmp_path: Path) -> None:
    """Ctrl-C reaches the launcher, which forwards it once: checkpoint, exit code 75, "stopped", no process left."""
    process = started(tmp_path, *TRAIN, "--epochs", "4000", "--out", "run", "--processes", "2")
    run = Run(tmp_path / "run")
    assert wait_for(lambda: list(run.checkpoints.glob("step-*")))
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = ended(process)
    assert code == 75, err
    assert "Stopped: by SIGINT after step" in err.splitlines()[-1]
    assert "Traceback" not in err
    status = json.loads((run.folder / "status.json").read_text())
    assert status["status"] == "stopped"
    assert wait_for(lambda: not alive(status["pid"]), seconds=20)


def test_the_processes_stop_when_their_launcher_is_killed(tmp_path: Path) -> None:
    """After kill -9 of the launcher, its processes save and end, and the run can be resumed."""
    process = started(tmp_path, *TRAIN, "--epochs", "80", "--out", "run", "--processes", "2")
    run = Run(tmp_path / "run")
    assert wait_for(lambda: list(run.checkpoints.glob("step-*")))
    pid = json.loads((run.folder / "status.json").read_text())["pid"]
    process.kill()
    process.communicate(timeout=120)
    assert wait_for(lambda: not alive(pid), seconds=60)
    code, _, err = ended(started(tmp_path, *TRAIN, "--epochs", "80", "--out", "run", "--resume", "auto"))
    assert code == 0, err


def alive(pid: int) -> bool:
    """Whether a process is alive."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--processes", "0"), 2, "UsageError: --processes must be between 1 and"),
        (("--processes", "999"), 2, "UsageError: --processes must be between 1 and"),
        (("--processes", "2", "--set", "schedule.peak=1e30"), 5, "NonFiniteError: "),
        (("--processes", "2", "--out", "occupied"), 2, "FolderError: occupied holds other files"),
    ],
)
def test_refusals_are_said_once(words: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    """Rank 0 prints one line, and all processes end with its exit code."""
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "file").write_text("mine")
    code_seen, _, err = ended(started(tmp_path, *TRAIN, "--epochs", "2", *words))
    assert code_seen == code, err
    assert [line for line in err.splitlines() if message in line] == [err.splitlines()[-1]]
    assert "Traceback" not in err


def test_an_image_that_one_process_cannot_read_is_named(tmp_path: Path) -> None:
    """The process with the error prints one line, and all end with the exit code of bad data."""
    root = write_parts(tmp_path / "images", 4)
    (root / "train" / "dog" / "3.png").write_bytes(b"not an image")
    words = ("train", DESIGN, "--data", f"{root}:size=8", "--set", "batch=8", "--set", "validation=0", "--epochs", "1")
    code, _, err = ended(started(tmp_path, *words, "--recipe", "fine-tune", "--processes", "2", "--out", "run"))
    assert code == 3, err
    assert [line for line in err.splitlines() if "dog/3.png cannot be read as an image" in line] == [
        err.splitlines()[-1]
    ]
