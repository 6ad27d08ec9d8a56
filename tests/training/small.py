"""The smallest experiment, trained in a second, and comparisons of two runs."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from resatlas.arch.ops import Shape
from resatlas.data.batches import Batch, Resident
from resatlas.data.normalisation import UNTOUCHED
from resatlas.data.pipeline import Pipeline
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Standardise
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.settings import with_settings
from resatlas.runs.experiment import Experiment
from resatlas.runs.record import Keep
from resatlas.runs.store import Run
from resatlas.studies.single import carry_out, prepare
from resatlas.training.checkpoint import newest_valid
from resatlas.training.execution import Execution
from resatlas.training.loop import TrainingPlan, step
from resatlas.training.optimizer import optimizer
from resatlas.training.session import UNWATCHED, Watcher
from resatlas.training.state import TrainState

DESIGN = "resnet:depth=8,base=2"
DATA = "synthetic:size=8,channels=1,classes=4,images=96"
STEPS = 5
"""Steps of an epoch: 84 images in batches of 16; 12 images are held out."""

EXPERIMENT = Experiment(design=DESIGN, data=DATA, recipe=replace(NAMED["quick"], epochs=3, batch=16))

LONG = replace(EXPERIMENT, recipe=with_settings(EXPERIMENT.recipe, ["epochs=6", "schedule.peak=1.0"]))
"""Validation errors of 67, 75, 50, 58, 75 and 75 %: the best epoch is the third of six, and the first before."""

DROPPING = replace(EXPERIMENT, design="wide-resnet:depth=10,base=2,widen=1,dropout=0.3")

TIMES = ("seconds", "images_per_second", "paused")


LAYOUTS = (torch.contiguous_format, torch.channels_last)


def noise(n: int) -> Batch:
    """Random images with random labels."""
    draw = torch.Generator().manual_seed(1)
    return Batch(torch.randn(n, 1, 8, 8, generator=draw), torch.randint(4, (n,), generator=draw), torch.arange(n))


def plan_for(
    images: Batch, recipe: Recipe = EXPERIMENT.recipe, layout: torch.memory_format = torch.contiguous_format
) -> TrainingPlan:
    """A training plan over these images, without augmentation."""
    pipeline = Pipeline(
        steps=tuple(step for step in recipe.steps if isinstance(step, Standardise)), normaliser=UNTOUCHED
    )
    return TrainingPlan(recipe=recipe, seed=0, images=Resident(**images._asdict()), pipeline=pipeline, layout=layout)


def fresh(layout: torch.memory_format = torch.contiguous_format, seed: int = 0) -> TrainState:
    """The state of the smallest network before its first step."""
    network = build(DESIGN, image=Shape(1, 8, 8), classes=4, seed=seed).to(memory_format=layout)
    return TrainState(network=network, optimizer=optimizer(network, EXPERIMENT.recipe))


def stepped(steps: int, layout: torch.memory_format = torch.contiguous_format) -> TrainState:
    """The state after some steps on one batch of noise."""
    state = fresh(layout)
    take_steps(state, steps, layout)
    return state


def take_steps(state: TrainState, steps: int, layout: torch.memory_format = torch.contiguous_format) -> None:
    """Take more steps on the same batch."""
    images = noise(16)
    for _ in range(steps):
        step(state, images, plan_for(images, layout=layout))


def carried_out(
    folder: Path,
    experiment: Experiment = EXPERIMENT,
    *,
    resume: str | None = None,
    save_every: float = 0,
    watcher: Watcher = UNWATCHED,
    keep: Keep | None = None,
) -> Run:
    """Train an experiment and return its run, by default with a checkpoint after every epoch."""
    execution = Execution(resume=resume, save_every=save_every, keep=keep)
    carry_out(prepare(experiment, out=folder, execution=execution), watcher=watcher)
    return Run(folder)


def signalling(step: int, number: signal.Signals = signal.SIGTERM) -> Watcher:
    """A watcher that sends this process a signal during a step."""

    def on_step(state: TrainState) -> None:
        if state.step == step:
            os.kill(os.getpid(), number)

    return Watcher(on_step=on_step)


def last_checkpoint(run: Run) -> Path:
    """Its newest valid checkpoint, which must exist."""
    newest, _ = newest_valid(run.checkpoints)
    assert newest is not None
    return newest


def tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint: network, optimizer, and average of the weights."""
    return {
        f"{file.stem}: {path}": tensor
        for file in checkpoint.glob("*.safetensors")
        for path, tensor in load_file(file).items()
    }


def position(checkpoint: Path) -> dict[str, Any]:
    """The state.json of a checkpoint without times."""
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    return {key: value for key, value in state.items() if key not in TIMES}


def different(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> list[str]:
    """The names of tensors that differ in at least one bit."""
    common = left.keys() & right.keys()
    return sorted((left.keys() ^ right.keys()) | {name for name in common if not left[name].equal(right[name])})


def results_without_times(run: Run) -> dict[str, Any]:
    """The results that do not depend on the machine."""
    return {key: value for key, value in run.record().written.items() if key not in TIMES}


def assert_same(left: Run, right: Run) -> None:
    """Two finished runs agree in every bit of weights, momentum, metrics, predictions and results."""
    one, other = last_checkpoint(left), last_checkpoint(right)
    assert different(tensors(one), tensors(other)) == []
    assert position(one)["step"] == position(other)["step"]
    for name in ("metrics.jsonl", "predictions.csv"):
        assert (left.folder / name).read_bytes() == (right.folder / name).read_bytes()
    assert results_without_times(left) == results_without_times(right)
