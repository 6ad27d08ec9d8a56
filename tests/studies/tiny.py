"""A study of four short runs."""

import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.training.small import DATA

DESIGNS = ("resnet:depth=8,base=2", "plain:depth=8,base=2")

TEXT = f"""\
schema = 1
name = "tiny"
data = "{DATA}"
epochs = 3

[[questions]]
name = "shortcuts"
title = "Do shortcuts help?"
runs = [{{ designs = {list(DESIGNS)}, seeds = 2, settings = ["batch=16"] }}]

[[questions]]
name = "again"
title = "And is a run shared?"
view = "budget"
runs = [{{ designs = ["{DESIGNS[0]}"], seeds = 1, settings = ["batch=16"] }}]
"""


def write(folder: Path, text: str = TEXT) -> Path:
    """The file of the study."""
    file = folder / "tiny.toml"
    file.write_text(text, encoding="utf-8")
    return file


def forking(seconds: float = 0.0, *, preparing: float = 0.0) -> None:
    """Make a study fork its two workers, which saves their imports, and delay each step by `seconds`.

    `preparing` is the delay of each run between its start and its first step; the file "preparing" marks its start.
    """
    from resatlas.studies import runner
    from resatlas.training import loop, session

    runner.get_context = lambda _: get_context("fork")  # type: ignore[assignment]
    runner.cores = lambda: 2
    step, train = loop.step, session.train

    def slow_step(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        step(state, batch, training)
        time.sleep(seconds)

    def slow_start(run: session.Run, *arguments: Any, **more: Any) -> loop.TrainState:  # noqa: ANN401
        (run.folder / "preparing").touch()
        time.sleep(preparing)
        return train(run, *arguments, **more)

    loop.step = slow_step
    if preparing:
        session.train = slow_start


slowly = partial(forking, 0.25)


def one_of_two_slowly(seconds: float) -> None:
    """As `forking`, but only the steps of plain networks are delayed."""
    from resatlas.training import loop

    forking()
    step = loop.step

    def slow_step(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        step(state, batch, training)
        if all(unit.streams[0].shortcut is None for _, unit in state.network.plan.units):
            time.sleep(seconds)

    loop.step = slow_step
