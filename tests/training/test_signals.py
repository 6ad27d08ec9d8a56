"""A signal ends a training after its next step with a checkpoint; the same command resumes it."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from resatlas.data import readers
from resatlas.runs.store import Run
from resatlas.training.checkpoint import fault
from resatlas.training.signals import STOPPING, stop_on_signal
from tests.training import processes
from tests.training.small import DATA, DESIGN, STEPS, assert_same, last_checkpoint

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--out", "run")


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
def test_a_signal_stops_and_saves(unbroken: Run, tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 75, one line that says how to continue, a valid checkpoint, and a bit-equal run after the resume."""
    step = STEPS + 2
    ended = processes.run(tmp_path, *TRAIN, "--quiet", first=partial(processes.signal_at, step, number))
    assert (ended.code, ended.out) == (75, "")
    assert ended.line == (
        f"Stopped: by {number.name} after step {step} of {3 * STEPS}, saved; "
        "run the same command with --resume auto to continue"
    )
    run = Run(tmp_path / "run")
    status = json.loads((run.folder / "status.json").read_text())
    assert (status["status"], status["epoch"]) == ("stopped", 1)
    assert ended.line.endswith(status["reason"])
    assert not run.finished
    assert last_checkpoint(run).name == f"step-{step:08d}"
    ended = processes.run(tmp_path, *TRAIN, "--resume", "auto", "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == run.record().written
    assert f"resumes from step-{step:08d}" in ended.err.splitlines()
    assert f", from step {step} -> run" in ended.err
    assert_same(run, unbroken)


def test_a_second_interrupt_aborts_at_once(tmp_path: Path) -> None:
    """Ctrl-C twice: exit code 75, one line, and no incomplete file."""
    twice = partial(processes.signal_at, STEPS + 2, signal.SIGINT, signal.SIGINT)
    ended = processes.run(tmp_path, *TRAIN, "--quiet", "--save-every", "0", first=twice)
    assert (ended.code, ended.line) == (75, "Stopped: by Ctrl-C")
    run = Run(tmp_path / "run")
    assert [path.name for path in run.checkpoints.iterdir() if fault(path) is None] == [f"step-{STEPS:08d}"]


def test_a_signal_from_outside_stops_the_installed_program(tmp_path: Path) -> None:
    """`python -m resatlas train`, ended by SIGTERM at some moment of its training."""
    words = (sys.executable, "-m", "resatlas", *TRAIN, "--epochs", "100000", "--quiet")
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        run = Run(tmp_path / "run")
        deadline = time.monotonic() + processes.PATIENCE
        while not run.metrics and time.monotonic() < deadline and program.poll() is None:
            time.sleep(0.05)
        program.send_signal(signal.SIGTERM)
        out, err = program.communicate(timeout=processes.PATIENCE)
    assert (program.returncode, out) == (75, "")
    assert err.startswith("Stopped: by SIGTERM after step ")
    assert err.count("\n") == 1
    step = int(err.split()[5].replace(",", ""))
    assert last_checkpoint(run).name == f"step-{step:08d}"


def test_a_signal_that_is_ignored_stays_ignored(unbroken: Run, tmp_path: Path) -> None:
    """Under nohup a training continues when its terminal is closed, and is bit-equal."""
    closed = partial(closed_at, STEPS + 2)
    assert processes.run(tmp_path, *TRAIN, "--quiet", first=closed) == processes.Ended(0, "", "")
    assert_same(Run(tmp_path / "run"), unbroken)


def closed_at(step: int) -> None:
    """Ignore SIGHUP like nohup, and send it during a step."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    processes.signal_at(step, signal.SIGHUP)


def test_all_processes_handle_the_same_signals() -> None:
    """Reader processes ignore the signals that the training process handles."""
    assert set(readers.SIGNALS) == set(STOPPING)


def test_contexts_may_end_in_any_order() -> None:
    """The older one ends first, as a generator that is collected late: the newer one still notes, and ends as usual."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    older, newer = stop_on_signal(), stop_on_signal()
    missed, request = older.__enter__(), newer.__enter__()
    older.__exit__(None, None, None)
    os.kill(os.getpid(), signal.SIGTERM)
    assert (missed.signal, request.signal, request.received()) == (None, signal.SIGTERM, signal.SIGTERM)
    newer.__exit__(None, None, None)
    assert {number: signal.getsignal(number) for number in STOPPING} == before
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_are_restored() -> None:
    """Afterwards the previous handlers are set again, also after a signal."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    with stop_on_signal() as request:
        assert request.signal is None
        os.kill(os.getpid(), signal.SIGUSR1)
        assert request.signal == signal.SIGUSR1
    assert {number: signal.getsignal(number) for number in STOPPING} == before
