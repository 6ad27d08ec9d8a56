"""Progress of a training on standard error: lines for its start and its epochs, and the current step."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

from resatlas.cli.display import Clock, Display, display
from resatlas.recipes.detection import Classify
from resatlas.values.text import counted

if TYPE_CHECKING:  # the annotations alone do not import torch
    from resatlas.runs.store import Run
    from resatlas.training.loop import TrainingPlan
    from resatlas.training.session import Watcher
    from resatlas.training.state import TrainState


@contextmanager
def watcher(*, quiet: bool) -> "Iterator[Watcher]":
    """A progress reporter on standard error; it reports nothing if quiet."""
    with display(quiet=quiet) as screen:
        yield _watcher(screen)


def opening(run: "Run", training: "TrainingPlan", state: "TrainState") -> tuple[str, str]:
    """Two lines before the first step: what is trained, and how it is executed."""
    recipe, world, experiment = training.recipe, training.world, run.beginning().experiment
    what = (
        f"{experiment.design} on {experiment.data}, recipe {recipe.name}: {len(training.images):,} images, "
        f"{counted(training.epochs, 'epoch')} of {counted(training.steps_per_epoch, 'step')}, batch {recipe.batch}, "
        f"learning rate up to {float(recipe.schedule.peak):g}, seed {training.seed}"
        + (f", from step {state.step:,}" if state.step else "")
        + f" -> {run.folder}"
    )
    share = ceil(recipe.batch / world.size)
    group = min(recipe.norm_group or share, recipe.batch)
    how = (
        f"{training.precision} on {training.device}, {experiment.layout}, "
        + (f"{world.size} processes, batch {share} each, " if world.size > 1 else f"1 process, batch {share}, ")
        + f"BN statistics over {group}"
    )
    return what, how


def _watcher(screen: Display) -> "Watcher":
    from resatlas.training.session import Watcher

    clocks: list[Clock] = []
    lengths: list[tuple[int, int]] = []
    steps: list[int] = [0]
    labelled: list[bool] = []

    def on_start(run: "Run", training: "TrainingPlan", state: "TrainState") -> None:
        for line in opening(run, training, state):
            screen.note(line)
        labelled.append(isinstance(training.recipe.task, Classify))
        clocks.append(Clock(state.step, training.steps))
        lengths.append((training.epochs, training.steps))

    def parts_of(metrics: dict[str, Any]) -> dict[str, float]:
        before = "train_loss_"
        return {name.removeprefix("train_"): value for name, value in metrics.items() if name.startswith(before)}

    def on_step(state: "TrainState") -> None:
        steps[0] = state.step
        epochs, total = lengths[-1]
        words = (
            f"epoch {state.epoch + 1} of {epochs}",
            f"step {state.step}",
            f"loss {state.tally.mean_loss:.4f}",
            *([f"error_percent {state.tally.error_percent:.2f}"] if labelled[-1] else []),
            f"images_per_second {state.tally.images / max(state.seconds, 1e-9):.0f}",
            f"seconds_left {clocks[-1].seconds_left(state.step):.0f}",
        )
        screen.show(" ".join(words), state.step / total)

    def on_epoch(metrics: dict[str, Any], timing: dict[str, Any]) -> None:
        words = [
            f"epoch {metrics['epoch']}",
            f"loss {metrics['train_loss']:.4f}",
            *(f"{name} {value:.4f}" for name, value in parts_of(metrics).items()),
        ]
        if "train_error_percent" in metrics:
            words.append(f"error_percent {metrics['train_error_percent']:.2f}")
        if "validation_ap" in metrics:
            words.append(f"validation_ap {metrics['validation_ap']:.2f}")
        elif "validation_error_percent" in metrics:
            words.append(f"validation_error_percent {metrics['validation_error_percent']:.2f}")
        words.append(f"images_per_second {timing['images_per_second']:.0f}")
        words.append(f"seconds_left {clocks[-1].seconds_left(steps[0]):.0f}")
        screen.note(" ".join(words))

    def on_image(images: str, done: int, total: int) -> None:
        screen.show(f"checking {images}: {done} of {total}", done / max(total, 1))

    return Watcher(on_start=on_start, on_step=on_step, on_epoch=on_epoch, on_note=screen.note, on_image=on_image)
