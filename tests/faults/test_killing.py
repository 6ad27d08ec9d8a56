"""Sudden deaths: a training that is killed loses nothing that was saved, and a save that is killed loses nothing."""

import os
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from resatlas.runs.store import Run
from resatlas.training import checkpoint
from resatlas.training.checkpoint import newest_valid, save, sweep
from tests.faults import hazards
from tests.training import processes
from tests.training.breaking import OPERATIONS
from tests.training.small import DATA, DESIGN, assert_same, stepped, take_steps

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0", "--out", "run")
RESUME = (*TRAIN, "--resume", "auto", "--quiet")
KILLS, MOST = 15, 60
HAZARDS = {"at any moment": None, "mostly in slow saves": partial(hazards.slow_saves, 0.03)}


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_training_that_is_killed_again_and_again_ends_as_if_never(unbroken: Run, tmp_path: Path, hazard: str) -> None:
    """Fifteen times `kill -9` at a moment drawn by lot, and each time the same command goes on, to the same bits.

    Where saves are slow it is killed until one of them was torn, which a busy machine may put off.
    """
    run, first, draw = Run(tmp_path / "run"), HAZARDS[hazard], random.Random(hazard)  # noqa: S311 - no secret
    assert processes.run(tmp_path, "--version").code == 0  # so that what the processes are forked from has begun
    started = time.monotonic()
    assert processes.run(tmp_path, *RESUME, first=first) == processes.Ended(0, "", "")
    whole = time.monotonic() - started
    assert_same(run, unbroken)
    kills = torn = 0
    while kills < KILLS or (first and not torn and kills < MOST):
        if run.finished:
            assert_same(run, unbroken)
            shutil.rmtree(run.folder)
        program = processes.start(tmp_path, *RESUME, first=first)
        program.process.join(draw.uniform(0, whole))
        if program.process.is_alive():
            kills += 1
            program.process.kill()
            program.process.join()
        else:
            assert program.ended() == processes.Ended(0, "", "")
        torn += bool(list(run.checkpoints.glob(".tmp-*")))
        assert newest_valid(run.checkpoints)[1] == []
    assert processes.run(tmp_path, *RESUME) == processes.Ended(0, "", "")
    assert_same(run, unbroken)
    assert not list(run.folder.rglob(".*"))
    assert torn > 0 or first is None


DIED = 137


def test_a_death_at_any_point_of_a_save_leaves_a_valid_checkpoint(tmp_path: Path) -> None:
    """Before, and halfway through, each of its operations on files the old checkpoint or the new one is valid."""
    saver = processes.FORKED.Process(target=saved_and_died, args=(tmp_path,))
    saver.start()
    saver.join(processes.PATIENCE)
    assert saver.exitcode == 0
    failures: list[str] = []
    for folder in sorted(tmp_path.iterdir(), key=lambda path: int(path.name)):
        newest, rejected = newest_valid(folder)
        assert newest is not None
        assert rejected == []
        failures.append(newest.name)
        sweep(folder)
        assert not list(folder.glob(".*"))
    assert failures == sorted(failures)
    assert set(failures) == {"step-00000005", "step-00000007"}
    assert len(failures) > 20


def saved_and_died(folder: Path) -> None:
    """In a process of its own: of a folder with two checkpoints, one copy for each point at which a save can die."""
    state, start = stepped(3), folder / "0"
    save_it = partial(save, state, experiment="0" * 64)
    save_it(start)
    take_steps(state, 2)
    save_it(start)
    take_steps(state, 2)
    for k in count(1):
        shutil.copytree(start, folder / f"{k}")
        if not (child := os.fork()):
            dying(k)
            save_it(folder / f"{k}")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.waitstatus_to_exitcode(status) == DIED


def dying(k: int) -> None:
    """Let this process die before the k-th of its operations on files, counted from 1, or halfway through a file."""
    left = [k]

    def burn(file: Path | None = None) -> None:
        left[0] -= 1
        if left[0] == 0:
            if file:
                os.truncate(file, file.stat().st_size // 2)
            os._exit(DIED)

    def deadly(real: Callable[..., Any], place: int | None = None) -> Callable[..., Any]:
        def operation(*arguments: Any, **more: object) -> Any:  # noqa: ANN401 - whatever the real one takes and gives
            burn()
            result = real(*arguments, **more)
            if place is not None:
                burn(arguments[place])
            return result

        return operation

    for name in OPERATIONS:
        setattr(os, name, deadly(getattr(os, name)))
    for name in ("save_weights", "save_file"):
        setattr(checkpoint, name, deadly(getattr(checkpoint, name), 1))
    setattr(Path, "write_text", deadly(Path.write_text, 0))  # noqa: B010 - a method, for the type checker
