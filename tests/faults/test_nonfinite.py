"""A loss or gradient that is not finite stops before the update and leaves evidence."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from resatlas.data.order import order
from resatlas.errors import NonFiniteError
from resatlas.runs.store import Run
from resatlas.training import loop
from resatlas.training.optimizer import momenta
from resatlas.training.session import Watcher
from resatlas.training.skipping import CAP
from resatlas.training.state import TrainState
from tests.faults import hazards
from tests.training import processes
from tests.training.small import (
    DATA,
    DESIGN,
    EXPERIMENT,
    STEPS,
    assert_same,
    carried_out,
    different,
    last_checkpoint,
    tensors,
)

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0", "--out", "run")


def test_images_that_are_no_numbers_are_named(unbroken: Run, tmp_path: Path) -> None:
    """Exit code 5; step, seed, images, rate and norms are recorded, and the last checkpoint can be resumed."""
    step = STEPS + 3
    ended = processes.run(tmp_path, *TRAIN, "--quiet", first=partial(hazards.poisoned_at, step))
    assert (ended.code, ended.out) == (5, "")
    assert ended.line.startswith(f"NonFiniteError: the loss is nan at step {step} (epoch 2, learning rate ")
    run = Run(tmp_path / "run")
    evidence = json.loads((run.folder / "nonfinite.json").read_text())
    assert (evidence["step"], evidence["epoch"], evidence["batch"], evidence["seed"]) == (step, 2, 3, EXPERIMENT.seed)
    assert evidence["images"] == run_order(epoch=1)[2 * 16 : 3 * 16]
    assert f"learning rate {evidence['learning_rate']:.4g}" in ended.line
    assert (evidence["loss"], evidence["gradient_norm"]) == ("nan", "nan")
    assert all(norms["weight"] > 0 for path, norms in evidence["norms"].items() if path.endswith("conv.weight"))
    assert {norms["gradient"] for path, norms in evidence["norms"].items() if path.endswith("conv.weight")} == {"nan"}
    assert last_checkpoint(run).name == f"step-{STEPS:08d}"
    assert processes.run(tmp_path, *TRAIN, "--quiet", "--resume", "auto") == processes.Ended(0, "", "")
    assert_same(run, unbroken)


def run_order(*, epoch: int) -> list[int]:
    """The ids of the training images in the order of an epoch."""
    from resatlas.data import catalog
    from resatlas.studies.single import read_parts
    from resatlas.training.splits import split_images

    data = catalog.resolve(EXPERIMENT.data)
    train = split_images(read_parts(data), EXPERIMENT, data).train
    return [int(train.ids[k]) for k in order(EXPERIMENT.seed, epoch, len(train))]


def test_the_weight_whose_gradient_is_no_number_is_named(tmp_path: Path) -> None:
    """Only the norm of the poisoned gradient is not finite, and the checkpoint of the previous epoch is unchanged."""
    before: list[dict[str, torch.Tensor]] = []
    run = Run(tmp_path / "run")

    def on_start(_run: Run, _course: object, state: TrainState) -> None:
        def overflow(gradient: torch.Tensor) -> torch.Tensor:
            return gradient * torch.inf if state.step == STEPS + 2 else gradient

        dict(state.network.named_parameters())["head.linear.bias"].register_hook(overflow)

    def on_step(state: TrainState) -> None:
        if state.step == STEPS + 2:
            before.append(tensors(last_checkpoint(run)))

    with pytest.raises(NonFiniteError, match="the norm of the gradient is inf"):
        carried_out(run.folder, watcher=Watcher(on_start=on_start, on_step=on_step))
    evidence = json.loads((run.folder / "nonfinite.json").read_text())
    assert [path for path, norms in evidence["norms"].items() if isinstance(norms["gradient"], str)] == [
        "head.linear.bias"
    ]
    assert isinstance(evidence["loss"], float)
    assert different(tensors(last_checkpoint(run)), before[0]) == []


def test_a_step_may_be_left_out(tmp_path: Path) -> None:
    """No update, no statistics, no share in the means of the epoch: noted, counted, and equal after any resume."""
    poison = partial(hazards.poisoned_at, 2, STEPS + 3)
    command = (*TRAIN, "--nonfinite", "skip")
    told = processes.run(tmp_path / "straight", *command, first=poison)
    assert told.code == 0, told.err
    assert f"steps with NaN or infinite values are skipped, {CAP}" in told.err
    assert f"step {STEPS + 3} is skipped, 2 so far: the loss is nan at step {STEPS + 3} (epoch 2, " in told.err
    straight = Run(tmp_path / "straight" / "run")
    assert [row["skipped_steps"] for row in straight.metrics] == [1, 2, 2]
    assert straight.record().written["train"]["skipped_steps"] == 2
    assert [row["images"] for row in straight.timing] == [64, 64, 80]
    assert json.loads((straight.folder / "nonfinite.json").read_text())["step"] == STEPS + 3
    broken = tmp_path / "broken"
    for step in (2, STEPS + 3):
        stopped = partial(poisoned_and_stopped, step)
        assert processes.run(broken, *command, "--resume", "auto", "--quiet", first=stopped).code == 75
        position = json.loads((last_checkpoint(Run(broken / "run")) / "state.json").read_text())
        assert (position["step"], position["skipped_in_a_row"]) == (step, 1)
    assert processes.run(broken, *command, "--resume", "auto", "--quiet", first=poison) == processes.Ended(0, "", "")
    assert_same(Run(broken / "run"), straight)


def poisoned_and_stopped(last: int) -> None:
    """Make the images of two steps NaN, and request a stop in the second."""
    from resatlas.training import skipping

    hazards.poisoned_at(2, STEPS + 3)
    real = skipping.attempt

    def attempt(state: TrainState, step: Callable[[], None]) -> NonFiniteError | None:
        error = real(state, step)
        if state.step == last:
            os.kill(os.getpid(), signal.SIGTERM)
        return error

    loop.attempt = attempt


def test_a_step_left_out_changes_no_weight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights, statistics and momentum are bit-equal before and after it."""
    monkeypatch.setattr(loop, "step", loop.step)
    hazards.poisoned_at(STEPS + 3)
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def on_step(state: TrainState) -> None:
        kept = {**state.network.state_dict(), **momenta(state.network, state.optimizer)}
        seen[state.step] = {name: tensor.clone() for name, tensor in kept.items()}

    carried_out(tmp_path / "run", replace(EXPERIMENT, nonfinite="skip"), watcher=Watcher(on_step=on_step))
    assert different(seen[STEPS + 2], seen[STEPS + 3]) == []
    assert different(seen[STEPS + 3], seen[STEPS + 4]) != []


@pytest.mark.parametrize(
    ("steps", "last", "message"),
    [
        (range(3, 22), 13, "the 10 steps before it were skipped too"),
        (range(2, 40, 2), 22, "10 of 42 steps were skipped before it, which is the limit"),
    ],
    ids=["in a row", "in all"],
)
def test_only_a_few_steps_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: range, last: int, message: str
) -> None:
    """The eleventh in a row, or in a short training in all, ends it like a single one by default."""
    monkeypatch.setattr(loop, "step", loop.step)
    hazards.poisoned_at(*steps)
    experiment = replace(EXPERIMENT, nonfinite="skip", recipe=replace(EXPERIMENT.recipe, epochs=2, batch=4))
    with pytest.raises(NonFiniteError, match=f"the loss is nan at step {last} .*; {message}$"):
        carried_out(tmp_path / "run", experiment)
    assert json.loads((tmp_path / "run" / "nonfinite.json").read_text())["step"] == last


def test_an_epoch_without_a_finite_step_has_no_mean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An epoch without a finite step ends the training, since its row would be wrong."""
    monkeypatch.setattr(loop, "step", loop.step)
    hazards.poisoned_at(*range(STEPS + 1, 2 * STEPS + 1))
    with pytest.raises(NonFiniteError, match="no step of epoch 2 was finite"):
        carried_out(tmp_path / "run", replace(EXPERIMENT, nonfinite="skip"))
