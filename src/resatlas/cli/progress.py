"""How a training shows itself: one live line on a terminal, plain lines everywhere else."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import TYPE_CHECKING, Any

from resatlas.values.text import plain

if TYPE_CHECKING:  # a watcher needs no torch to be described
    from resatlas.runs.store import Run
    from resatlas.training.loop import Course
    from resatlas.training.session import Watcher
    from resatlas.training.state import TrainState


@contextmanager
def watcher(*, quiet: bool) -> "Iterator[Watcher]":
    """Someone who writes progress to standard error, or nobody."""
    from resatlas.training.session import UNWATCHED

    if quiet:
        yield UNWATCHED
    elif on_terminal():
        with _live() as live:
            yield live
    else:
        yield _plain()


def on_terminal() -> bool:
    """Whether standard error is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "CI" not in os.environ


def say(text: str) -> None:
    """A line to standard error, or to nobody: a training does not end because its log is full or its reader gone."""
    with suppress(OSError):
        print(plain(text), file=sys.stderr, flush=True)


SILENCE_SECONDS = 30
"""After which an epoch that takes longer is told of by a line."""


class Clock:
    """Time left, from the steps since the start or the resume."""

    def __init__(self, done: int, total: int) -> None:
        self._from, self._total, self._started = done, total, time.monotonic()

    def seconds_left(self, done: int) -> float:
        """Seconds that the other steps will take at the pace so far."""
        return (time.monotonic() - self._started) / max(done - self._from, 1) * (self._total - done)


def opening(run: "Run", course: "Course", state: "TrainState") -> tuple[str, str]:
    """What is about to be trained, and how it is carried out, in a line each."""
    recipe, world, experiment = course.recipe, course.world, run.beginning().experiment
    what = (
        f"{experiment.design} on {experiment.data} by {recipe.name}: {len(course.images):,} images, "
        f"{course.epochs} epochs of {course.steps_per_epoch} steps, batch {recipe.batch}, "
        f"learning rate up to {float(recipe.schedule.peak):g}, seed {course.seed}"
        + (f", from step {state.step:,}" if state.step else "")
        + f" -> {run.folder}"
    )
    share = ceil(recipe.batch / world.size)
    group = min(recipe.norm_group or share, recipe.batch)
    passes = ceil(share / min(share, group))
    how = (
        f"{course.precision} on {course.device}, {experiment.layout}, {_counted(world.size, 'process')}, "
        f"of a batch {share} images each, in {_counted(passes, 'pass')} of norm groups of {group}"
    )
    return what, how


def _counted(number: int, noun: str) -> str:
    """1 pass, 2 passes."""
    return f"{number} {noun}{'es' if number > 1 else ''}"


def _plain() -> "Watcher":
    from resatlas.training.session import Watcher

    clocks: list[Clock] = []
    steps: list[int] = [0]
    told: list[float] = [time.monotonic()]

    def on_start(run: "Run", course: "Course", state: "TrainState") -> None:
        for line in opening(run, course, state):
            say(line)
        clocks.append(Clock(state.step, course.steps))

    def on_step(state: "TrainState") -> None:
        steps[0] = state.step
        if time.monotonic() - told[0] > SILENCE_SECONDS:
            told[0] = time.monotonic()
            left = clocks[-1].seconds_left(state.step)
            say(f"step {state.step} loss {state.tally.mean_loss:.4f} seconds_left {left:.0f}")

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
        say(" ".join(words))
        told[0] = time.monotonic()

    def on_image(what: str, done: int, total: int) -> None:
        if time.monotonic() - told[0] > SILENCE_SECONDS:
            told[0] = time.monotonic()
            say(f"verifies {what}: {done} of {total}")

    return Watcher(on_start=on_start, on_step=on_step, on_epoch=on_epoch, on_note=say, on_image=on_image)


@contextmanager
def _live() -> "Iterator[Watcher]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    from resatlas.training.session import Watcher

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[words]}", markup=False),
    )
    clocks: list[Clock] = []
    tasks: list[TaskID] = []
    epochs: list[int] = []
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as progress:

        def on_start(run: "Run", course: "Course", state: "TrainState") -> None:
            for line in opening(run, course, state):
                console.print(plain(line), markup=False, soft_wrap=True)
            clocks.append(Clock(state.step, course.steps))
            epochs.append(course.epochs)
            for task in tasks:
                progress.remove_task(task)
            tasks[:] = [progress.add_task("", total=course.steps, epoch="1", words="starting")]

        def on_step(state: "TrainState") -> None:
            speed = state.tally.images / max(state.seconds, 1e-9)
            minutes, seconds = divmod(int(clocks[-1].seconds_left(state.step)), 60)
            words = (
                f"loss {state.tally.mean_loss:.4f}  error {state.tally.error_percent:.1f} %  {speed:,.0f} images/s  "
                f"{minutes}:{seconds:02d} left"
            )
            progress.update(tasks[-1], completed=state.step, epoch=f"{state.epoch + 1} of {epochs[-1]}", words=words)

        def on_image(what: str, done: int, total: int) -> None:
            if not tasks:
                tasks.append(progress.add_task("", total=total, epoch="0", words=""))
            words = f"verifies {what}: {done:,} of {total:,}"
            progress.update(tasks[-1], completed=done, total=total, words=words)

        yield Watcher(
            on_start=on_start,
            on_step=on_step,
            on_image=on_image,
            on_note=lambda text: console.print(plain(text), markup=False, soft_wrap=True),
        )
