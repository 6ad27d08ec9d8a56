"""A loss or gradient that is no number stops before the update, and leaves what is needed to find out why."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from resatlas.data.order import order
from resatlas.errors import NonFiniteError
from resatlas.runs.store import Run
from resatlas.training.session import Watcher
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
    """Exit code 5; step, seed, images, rate and norms stand in the run, the last checkpoint is whole and goes on."""
    step = STEPS + 3
    ended = processes.run(tmp_path, *TRAIN, "--quiet", first=partial(hazards.poisoned_at, step))
    assert (ended.code, ended.out) == (5, "")
    assert ended.line.startswith(f"NonFiniteError: the loss is nan at step {step} (epoch 2, learning rate ")
    run = Run(tmp_path / "run")
    told = json.loads((run.folder / "nonfinite.json").read_text())
    assert (told["step"], told["epoch"], told["batch"], told["seed"]) == (step, 2, 3, EXPERIMENT.seed)
    assert told["images"] == run_order(epoch=1)[2 * 16 : 3 * 16]
    assert f"learning rate {told['learning_rate']:.4g}" in ended.line
    assert (told["loss"], told["gradient_norm"]) == ("nan", "nan")
    assert all(norms["weight"] > 0 for path, norms in told["norms"].items() if path.endswith("conv.weight"))
    assert {norms["gradient"] for path, norms in told["norms"].items() if path.endswith("conv.weight")} == {"nan"}
    assert last_checkpoint(run).name == f"step-{STEPS:08d}"
    assert processes.run(tmp_path, *TRAIN, "--quiet", "--resume", "auto") == processes.Ended(0, "", "")
    assert_same(run, unbroken)


def run_order(*, epoch: int) -> list[int]:
    """The ids of the training images in the order of an epoch."""
    from resatlas.data import catalog
    from resatlas.studies.single import read_parts
    from resatlas.training.session import material

    data = catalog.resolve(EXPERIMENT.data)
    train = material(read_parts(data), EXPERIMENT, data).train
    return [int(train.ids[k]) for k in order(EXPERIMENT.seed, epoch, len(train))]


def test_the_weight_whose_gradient_is_no_number_is_named(tmp_path: Path) -> None:
    """Of all norms that of the poisoned gradient alone is none, and the checkpoint of the epoch before is untouched."""
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
    told = json.loads((run.folder / "nonfinite.json").read_text())
    assert [path for path, norms in told["norms"].items() if isinstance(norms["gradient"], str)] == ["head.linear.bias"]
    assert isinstance(told["loss"], float)
    assert different(tensors(last_checkpoint(run)), before[0]) == []
