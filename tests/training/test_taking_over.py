"""Two processes at one run, where the system's lock does not reach across machines or a machine has slept."""

import fcntl
import os
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from resatlas.runs import lock
from resatlas.runs.lock import OWNER
from resatlas.runs.record import Start
from resatlas.runs.store import Run
from resatlas.training.checkpoint import newest_valid
from resatlas.values import machine
from tests.faults import hazards
from tests.training import processes
from tests.training.small import DATA, DESIGN, EXPERIMENT, STEPS, assert_same, carried_out

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0")


def without_flock() -> None:
    """Let the system's lock hold nobody back, as on a file system that does not pass it on."""

    def taken(_handle: int, _how: int) -> None:
        """Always given."""

    setattr(fcntl, "flock", taken)  # noqa: B010 - for the type checker


def on_another_machine(*, patience: float = 120.0, flock: bool) -> None:
    """Make the process one of another machine, which has waited for the first one long enough."""
    if not flock:
        without_flock()
    lock.identity = lambda pid: machine.identity(pid).replace(machine.boot(), "another-boot")
    lock.PATIENCE = patience


def beating_and_waiting_at(step: int) -> None:
    """Hold the run in a step, alive, from the file "there" to the file "go"."""

    def wait() -> None:
        Path("there").touch()
        processes.wait_for(lambda: Path("go").exists())

    lock.BEAT = 0.05
    hazards.during(step, wait)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same training, alone."""
    return carried_out(tmp_path_factory.mktemp("unbroken") / "run", EXPERIMENT)


def test_a_second_process_is_refused_where_nothing_locks(tmp_path: Path, unbroken: Run) -> None:
    """By the signature of the first, before a step: of this machine at once, of another at its next heartbeat."""
    hazard = partial(beating_and_waiting_at, STEPS + 2)
    first = processes.start(tmp_path, *TRAIN, "--out", "run", "--quiet", first=hazard)
    run = Run(tmp_path / "run")
    assert processes.wait_for((tmp_path / "there").exists)
    before = contents(run.folder)
    refusal = rf"FolderError: .*run is locked by pid {first.process.pid} on .* since .*, which trains it now"
    for hazard in (without_flock, partial(on_another_machine, flock=False)):
        ended = resumed_elsewhere(run, first=hazard)
        assert ended.code == 2
        assert re.fullmatch(refusal, ended.err.splitlines()[-1])
    assert contents(run.folder) == before
    (tmp_path / "go").touch()
    assert first.ended().code == 0
    assert_same(run, unbroken)


@pytest.mark.parametrize("flock", [True, False])
def test_who_slept_too_long_writes_nothing_more(tmp_path: Path, unbroken: Run, *, flock: bool) -> None:
    """Another machine takes over after the patience; the first, awake again, ends at its next step, and says why."""
    first = processes.start(tmp_path, *TRAIN, "--out", "run", "--quiet", first=partial(hazards.paused_at, STEPS + 2))
    run, pid = Run(tmp_path / "run"), first.process.pid or 0
    assert processes.wait_for(lambda: paused(pid))
    hazard = partial(on_another_machine, patience=0.2, flock=flock)
    second = resumed_elsewhere(run, first=hazard)
    assert second.code == 0, second.err
    assert_same(run, unbroken)
    sealed = contents(run.folder)
    os.kill(pid, signal.SIGCONT)
    ended = first.ended()
    assert (ended.code, ended.out) == (2, "")
    assert f"{OWNER} has disappeared: another process may have taken over; nothing more is saved here" in ended.line
    assert contents(run.folder) == sealed
    assert [start.attempt for start in starts(run)] == [1, 2]


def resumed_elsewhere(run: Run, *, first: Callable[[], None]) -> processes.Ended:
    """The end of a second process that resumes the run."""
    words = (*TRAIN, "--out", str(run.folder), "--resume", "auto", "--quiet")
    return processes.run(run.folder.parent / "second", *words, first=first)


def paused(pid: int) -> bool:
    """Whether a process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def starts(run: Run) -> tuple[Start, ...]:
    """The recorded starts of a run."""
    environment = run.record().environment
    assert environment
    return environment.starts


def test_a_save_that_begins_before_the_loss_is_not_visible(tmp_path: Path) -> None:
    """The last check stands between the files of a checkpoint and its name; the draft is gone."""
    hazard = partial(overtaken_in_save, tmp_path / "run")
    ended = processes.run(tmp_path, *TRAIN, "--out", "run", "--quiet", first=hazard)
    assert ended.code == 2
    assert "run was taken over by pid 1 on elsewhere" in ended.line
    folder = tmp_path / "run" / "checkpoints"
    newest, _ = newest_valid(folder)
    assert newest is None
    assert [path.name for path in folder.iterdir()] == []


def overtaken_in_save(run: Path) -> None:
    """Let another process sign while the first checkpoint is written."""
    from resatlas.runs.files import write_json
    from resatlas.training import checkpoint

    real = checkpoint.save_weights

    def overtaken(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        write_json(run / OWNER, {"pid": 1, "host": "elsewhere"}, within=run)

    setattr(checkpoint, "save_weights", overtaken)  # noqa: B010 - for the type checker
