"""Unusual machines: no terminal, no home, no locale, no network, a clock that runs back, another process in the run."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from socket import gethostname

import pytest

from resatlas.runs.files import sha256_of
from resatlas.runs.store import Run
from tests.data.pictures import write_parts
from tests.faults import hazards
from tests.training import processes
from tests.training.small import DATA, DESIGN, STEPS, assert_same

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0")

BARE = """
import shutil, sys
from pathlib import Path
from tests.faults.hazards import bound_by_permissions, without_network
without_network()
bound_by_permissions()
from resatlas.cli.main import main
run, *words = sys.argv[1:]
assert main(words) == 0
Path(run, "results.json").unlink()
Path(run, "checkpoints/step-00000015/model.safetensors").write_bytes(b"")
sys.exit(main([*words, "--resume", "auto"]))
"""


def test_a_bare_environment_changes_no_bit(unbroken: Run, tmp_path: Path) -> None:
    """No terminal, network or home, a read-only folder, plain ASCII, another hash seed."""
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir(mode=0o555)
    run = tmp_path / "run"
    root = Path(__file__).parents[2]
    environment = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    environment |= {"HOME": str(nowhere), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "dumb"}
    environment |= {"PYTHONHASHSEED": "1", "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(run), *TRAIN, "--out", str(run)],
        cwd=nowhere,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    err = done.stderr.decode("ascii")
    assert done.returncode == 0, err
    assert "checkpoint step-00000015 is damaged: model.safetensors has size 0 ? " in err
    assert "\x1b" not in err
    assert_same(Run(run), unbroken)
    assert list(nowhere.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_where_nothing_else_is_named(tmp_path: Path) -> None:
    """The default folder of a run is in the working folder; the line names the folder without permission."""
    tmp_path.chmod(0o555)
    ended = processes.run(tmp_path, *TRAIN, first=hazards.bound_by_permissions)
    tmp_path.chmod(0o755)
    assert (ended.code, ended.out) == (2, "")
    assert ended.line.endswith("cannot be written: no permission in .")


@pytest.mark.parametrize("kind", ["dumb", "xterm"])
def test_a_terminal_that_cannot_redraw_gets_plain_lines(unbroken: Run, tmp_path: Path, kind: str) -> None:
    """Escapes are written only to a terminal that supports them."""
    ours, theirs = pty.openpty()
    hazard = partial(hazards.on_terminal, os.ttyname(theirs), kind)
    assert processes.run(tmp_path, *TRAIN, "--out", "run", first=hazard).code == 0
    os.close(theirs)
    output = b""
    while chunk := read(ours):
        output += chunk
    os.close(ours)
    assert (b"\x1b" in output) == (kind != "dumb" and "CI" not in os.environ)
    assert b"-> run" in output
    assert_same(Run(tmp_path / "run"), unbroken)


def read(terminal: int) -> bytes:
    """The remaining output of a terminal."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody writes to it any more
        return b""


def test_a_clock_that_runs_back_changes_no_bit(unbroken: Run, tmp_path: Path) -> None:
    """Order, saves and seconds of a run do not depend on the wall clock."""
    run = Run(tmp_path / "run")
    hazard = hazards.clock_running_back
    command = (*TRAIN, "--out", "run", "--quiet")
    assert processes.run(tmp_path, *command, first=hazard) == processes.Ended(0, "", "")
    assert all(row["seconds"] > 0 for row in run.timing)
    assert_same(run, unbroken)
    for days, name in enumerate(("step-00000015", "step-00000010")):  # the newest is the older by its date
        os.utime(run.checkpoints / name, (days * 86400, days * 86400))
    (run.folder / "results.json").unlink()
    ended = processes.run(tmp_path, *command[:-1], "--resume", "auto", first=hazard)
    assert "resumes from step-00000015" in ended.err.splitlines()
    assert_same(run, unbroken)


def test_no_address_is_asked_for(tmp_path: Path) -> None:
    """Training on photographs with readers, testing and reporting access only files."""
    write_parts(tmp_path / "images", 12)
    train = ("train", DESIGN, "--data", "images:size=8", "--set", "batch=8", "--epochs", "1", "--out", "run")
    for words in (train, ("evaluate", "run"), ("report", "run", "--out", "page.html")):
        ended = processes.run(tmp_path, *words, "--quiet", first=hazards.without_network)
        assert ended == processes.Ended(0, "", "")


def test_a_second_process_at_a_run_is_sent_away(unbroken: Run, tmp_path: Path) -> None:
    """The second process learns who holds the lock and changes nothing; the first one finishes."""
    command = (*TRAIN, "--out", "run", "--quiet")
    first = processes.start(tmp_path, *command, first=partial(hazards.paused_at, STEPS + 2))
    pid = first.process.pid or 0
    assert processes.wait_for(lambda: paused(pid))
    (tmp_path / "run" / "env.json").unlink()  # as one who begins finds it, between two writes
    ended = processes.run(tmp_path, *command, "--resume", "auto")
    assert ended.code == 2
    refusal = rf"FolderError: run is locked by pid {pid} on {gethostname()} since [-0-9: ]+ UTC, which trains it now"
    assert re.fullmatch(refusal, ended.line)
    os.kill(pid, signal.SIGCONT)
    assert first.process.join(processes.PATIENCE) is None
    assert first.process.exitcode == 0
    assert_same(Run(tmp_path / "run"), unbroken)


def paused(pid: int) -> bool:
    """Whether a process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_of_many_that_begin_at_once_one_trains(tmp_path: Path) -> None:
    """Of several seeds started in one new folder, one is trained, and its experiment is recorded."""
    folders = [tmp_path / f"{seed}" for seed in range(4)]
    out = str(tmp_path / "run")
    programs = [processes.start(folder, *TRAIN, "--quiet", "--seed", folder.name, "--out", out) for folder in folders]
    ended = [program.ended() for program in programs]
    assert sorted(end.code or 0 for end in ended) == [0, 2, 2, 2]
    run, winner = Run(tmp_path / "run"), [end.code for end in ended].index(0)
    assert (run.beginning().experiment.seed, run.record().written["seed"]) == (winner, winner)
    refusal = rf"is locked by pid \d+ on {gethostname()} since|holds another|already holds a run"
    assert [end.line for end in ended if end.code and not re.search(refusal, end.line)] == []


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (0, "cannot be read"),
        (3, "was written by a later version of resatlas"),
        ("1", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_state_of_another_version_is_passed_over(unbroken: Run, tmp_path: Path, schema: object, why: str) -> None:
    """A sealed checkpoint of another schema is rejected with its schema, and the previous one is used."""
    shutil.copytree(unbroken.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    (run.folder / "results.json").unlink()
    last = run.checkpoints / "step-00000015"
    change(last, {"schema": schema})
    command = (*TRAIN, "--out", "run", "--resume")
    ended = processes.run(tmp_path, *command, str(last), "--quiet")
    reason = f"checkpoint step-00000015 of schema {schema} {why}; this version reads 1 and 2"
    assert (ended.code, ended.line) == (4, f"CheckpointError: {reason}")
    ended = processes.run(tmp_path, *command, "auto")
    assert ended.err.splitlines()[:2] == [reason, "resumes from step-00000010"]
    assert_same(run, unbroken)


@pytest.mark.parametrize("key", ["epoch", "tally", "pace", "rate"])
@pytest.mark.parametrize("value", ["missing", "strange"])
def test_a_state_that_lacks_something_is_no_traceback(unbroken: Run, tmp_path: Path, key: str, value: str) -> None:
    """A sealed checkpoint without a key, or with a value of another type, is reported as damaged."""
    shutil.copytree(unbroken.folder, tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    change(tmp_path / "run" / "checkpoints" / "step-00000015", {key: None if value == "missing" else ["strange"]})
    ended = processes.run(tmp_path, *TRAIN, "--out", "run", "--resume", "auto", "--quiet")
    assert (ended.code, ended.line) == (
        4,
        "CheckpointError: checkpoint step-00000015 is damaged: state.json lacks entries or has wrong ones",
    )


def change(checkpoint: Path, values: dict[str, object]) -> None:
    """Change values of state.json, or remove keys whose value is None, and seal it again."""
    file, manifest = checkpoint / "state.json", checkpoint / "MANIFEST.json"
    state = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in state.items() if value is not None or key == "schema"}))
    sealed = json.loads(manifest.read_text())
    sealed["files"]["state.json"] = {"size": file.stat().st_size, "sha256": sha256_of(file)}
    manifest.write_text(json.dumps(sealed))


IMPORTED = """
import os, pkgutil, sys, threading
heavy = [word for word in ("torch", "torchvision", "sklearn", "altair", "PIL.Image")]
for name in heavy:
    __import__(name)
threads, seen = threading.active_count(), []
def note(event, arguments):
    if event.startswith("socket.") or event in ("os.mkdir", "os.rename", "os.remove", "subprocess.Popen", "os.fork"):
        seen.append((event, *map(str, arguments)))
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append((event, *map(str, arguments)))
sys.addaudithook(note)
import resatlas
for module in pkgutil.walk_packages(resatlas.__path__, "resatlas."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
print(seen, threading.active_count() - threads)
"""


def test_importing_the_package_leaves_no_trace(tmp_path: Path) -> None:
    """Importing every module creates no file, thread, process or socket."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", IMPORTED], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[] 0\n", "")
    assert list(tmp_path.iterdir()) == []
