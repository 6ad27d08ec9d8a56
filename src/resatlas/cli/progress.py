"""How a training shows itself: lines of its start and its epochs, and how far it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

from resatlas.cli.display import Clock, Display, display

if TYPE_CHECKING:  # describing a watcher needs no torch
    from resatlas.runs.store import Run
    from resatlas.training.loop import TrainingPlan
    from resatlas.training.session import Watcher
    from resatlas.training.state import TrainState


@contextmanager
def watcher(*, quiet: bool) -> "Iterator[Watcher]":
    """A progress reporter on standard error; it reports nothing if quiet."""
    with display(quiet=quiet) as shown:
        yield _watcher(shown)


def opening(run: "Run", training: "TrainingPlan", state: "TrainState") -> tuple[str, str]:
    """What is about to be trained, and how it is carried out, in a line each."""
    recipe, world, experiment = training.recipe, training.world, run.beginning().experiment
    what = (
        f"{experiment.design} on {experiment.data} by {recipe.name}: {len(training.images):,} images, "
        f"{training.epochs} epochs of {training.steps_per_epoch} steps, batch {recipe.batch}, "
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


def _counted(number: int, noun: str) -> str:
    """1 pass, 2 passes."""
    return f"{number} {noun}{'es' if number > 1 else ''}"


def _watcher(shown: Display) -> "Watcher":
    from resatlas.training.session import Watcher

    clocks: list[Clock] = []
    lengths: list[tuple[int, int]] = []
    steps: list[int] = [0]

    def on_start(run: "Run", training: "TrainingPlan", state: "TrainState") -> None:
        for line in opening(run, training, state):
            shown.note(line)
        clocks.append(Clock(state.step, training.steps))
        lengths.append((training.epochs, training.steps))

    def on_step(state: "TrainState") -> None:
        steps[0] = state.step
        epochs, total = lengths[-1]
        words = (
            f"epoch {state.epoch + 1} of {epochs}",
            f"step {state.step}",
            f"loss {state.tally.mean_loss:.4f}",
            f"error_percent {state.tally.error_percent:.2f}",
            f"images_per_second {state.tally.images / max(state.seconds, 1e-9):.0f}",
            f"seconds_left {clocks[-1].seconds_left(state.step):.0f}",
        )
        shown.show(" ".join(words), state.step / total)

    def on_epoch(metrics: dict[str, Any], timing: dict[str, Any]) -> None:
        words = [
            f"epoch {metrics['epoch']}",
            f"loss {metrics['train_loss']:.4f}",
            f"error_percent {metrics['train_error_percent']:.2f}",
        ]
        if "validation_error_percent" in metrics:
            words.append(f"validation_error_percent {metrics['validation_error_percent']:.2f}")
        words.append(f"images_per_second {timing['images_per_second']:.0f}")
        words.append(f"seconds_left {clocks[-1].seconds_left(steps[0]):.0f}")
        shown.note(" ".join(words))

    def on_image(what: str, done: int, total: int) -> None:
        shown.show(f"verifies {what}: {done} of {total}", done / max(total, 1))

    return Watcher(on_start=on_start, on_step=on_step, on_epoch=on_epoch, on_note=shown.note, on_image=on_image)
