"""Gradients overflow in fp16 if the loss is scaled too much: the scale is reduced, and the training continues."""

import json
import os
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from resatlas.errors import NonFiniteError
from resatlas.runs.store import Run
from resatlas.training.loop import CPU, step
from resatlas.training.precision import FIRST_SCALE, LEAST_SCALE, scaler
from tests.faults import hazards
from tests.training import processes
from tests.training.small import DATA, DESIGN, different, fresh, last_checkpoint, noise, plan_for

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0", "--out", "run")


def test_a_scale_that_is_too_large_backs_off(tmp_path: Path) -> None:
    """From 2**50 the scale is halved at each skipped update, which is counted; the training finishes."""
    first = partial(hazards.scaled_by, 2.0**50)
    ended = processes.run(tmp_path, *TRAIN, "--precision", "fp16", "--quiet", first=first)
    assert ended == processes.Ended(0, "", "")
    run = Run(tmp_path / "run")
    counts = [row["overflows"] for row in run.metrics]
    assert counts == [5, 10, 15]
    assert [row["loss_scale"] for row in run.metrics] == [2.0 ** (50 - count) for count in counts]
    assert not (run.folder / "nonfinite.json").exists()


def test_an_update_that_overflows_changes_nothing() -> None:
    """Weights and momenta are bit-equal, the step counts, and the first update without overflow is as usual."""
    state, images, plan = fresh(), noise(16), replace(plan_for(noise(16)), precision="fp16")
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before = {path: weight.clone() for path, weight in state.network.named_parameters()}
    step(state, images, plan)
    assert (state.step, state.overflows, state.scaler.get_scale()) == (1, 1, 2.0**59)
    assert different(before, dict(state.network.named_parameters())) == []
    assert not state.optimizer.state
    while state.overflows == state.step:
        step(state, images, plan)
    assert different(before, dict(state.network.named_parameters())) != []
    assert all(buffers["momentum_buffer"].isfinite().all() for buffers in state.optimizer.state.values())


def test_a_scale_that_collapses_ends_the_training() -> None:
    """A gradient that is infinite at every scale ends the training with exit code 5 at the least scale."""
    state, images, plan = fresh(), noise(16), replace(plan_for(noise(16)), precision="fp16")
    state.scaler = scaler("fp16", CPU)

    def infinite(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.inf

    dict(state.network.named_parameters())["head.linear.bias"].register_hook(infinite)

    def overflow_to_the_end() -> None:
        while state.step < 100:
            step(state, images, plan)

    with pytest.raises(NonFiniteError, match=r"at every scale of the loss down to 0\.000976562; a lower schedule.peak"):
        overflow_to_the_end()
    assert state.overflows == state.step
    assert 2.0**-state.step == LEAST_SCALE / FIRST_SCALE


def test_an_overflow_in_one_process_is_one_in_all(tmp_path: Path) -> None:
    """If one of two processes overflows, both skip the step, count it and have equal weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (*TRAIN, "--set", "norm_group=8", "--precision", "fp16", "--quiet")
    ranks = [
        processes.start(tmp_path, *words, first=partial(ranked, rank, port, overflowing=rank == 1)) for rank in (0, 1)
    ]
    assert [rank.ended().code for rank in ranks] == [0, 0]
    run = Run(tmp_path / "run")
    assert [row["overflows"] for row in run.metrics] == [0, 1, 1]
    state = json.loads((last_checkpoint(run) / "state.json").read_text())
    assert (state["world_size"], state["overflows"], state["scaler"]["scale"]) == (2, 1, FIRST_SCALE / 2)


def ranked(rank: int, port: int, *, overflowing: bool) -> None:
    """Make the process one of two, as torchrun would, the loss of whose 8th step overflows fp16."""
    world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in world.items()})
    if overflowing:
        hazards.overflowing_at(8)
