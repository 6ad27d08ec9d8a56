"""How far the runs of a study are, from their folders alone: on any machine that sees them. Needs no torch."""

import time
from pathlib import Path
from typing import Literal

from resatlas.errors import FolderError
from resatlas.recipes.recipe import Recipe
from resatlas.runs.decoding import read_status
from resatlas.runs.files import read_lines
from resatlas.runs.names import FIRST, METRICS, STATUS
from resatlas.runs.record import StatusRecord
from resatlas.studies.study import Study
from resatlas.values.table import Cell, Column, Table, numbers, words

State = Literal["not begun", "running", "silent", "stopped", "failed", "finished"]

SILENT = 600.0
"""Seconds without a new line after which a run that should be running is called silent: its process may be gone."""

COLUMNS = (
    *words("run", "state"),
    *numbers("epochs", "of"),
    Column("minutes ago", "1", ".1f"),
    *words("reason"),
)


def study_status(study: Study, folder: Path, *, now: float | None = None) -> Table:
    """A row for each run: its state, its finished epochs of all, and the minutes since it last wrote something.

    Nothing is locked or changed. Processes are not asked, since they may live on other machines: a run that has
    written nothing for ten minutes is called silent. Where iterations end a training, `of` is None.
    Raises: FolderError if there is no such folder, or if a file of a run cannot be read.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder} does not exist: no run of study {study.name} has begun there")
    moment = time.time() if now is None else now
    experiments = study.distinct_experiments()
    rows = tuple(_row(folder / name, experiment.recipe, moment) for name, experiment in experiments.items())
    return Table(title=f"Study {study.name}", columns=COLUMNS, rows=rows)


def _row(folder: Path, recipe: Recipe, moment: float) -> tuple[Cell, ...]:
    epochs = recipe.epochs if recipe.iterations is None else None
    if not (folder / FIRST).exists():
        return (folder.name, "not begun", 0, epochs, None, "")
    done = sum(1 for _ in read_lines(folder / METRICS))
    files = [folder / name for name in (FIRST, METRICS, STATUS)]
    ago = moment - max(file.stat().st_mtime for file in files if file.exists())
    status = read_status(folder)
    return (folder.name, _state(status, ago), done, epochs, max(ago, 0.0) / 60, status.reason if status else "")


def _state(status: StatusRecord | None, ago: float) -> State:
    """The state of a run that has begun; before its first step it has no status."""
    if status and status.status != "running":
        return status.status
    return "running" if ago < SILENT else "silent"
