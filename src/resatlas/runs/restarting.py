"""Runs that have trained nothing, since they were refused or ended before the first checkpoint; they are removed."""

import re
from pathlib import Path

from resatlas.errors import FolderError
from resatlas.runs.departures import AMENDED, UNREADABLE
from resatlas.runs.files import read_lines, remove
from resatlas.runs.lock import OWNER
from resatlas.runs.names import ENVIRONMENT, FIRST, METRICS, NORMALISATION, STATUS, TIMING
from resatlas.runs.store import Run

_BEFORE_TRAINING = (
    FIRST,
    ENVIRONMENT,
    STATUS,
    NORMALISATION,
    "nonfinite.json",
    METRICS,
    TIMING,
    "checkpoints",
    "events",
    AMENDED,
    UNREADABLE,
    OWNER,
)
"""The possible files of a run before its training; logs of TensorBoard are in events."""

_DRAFT = re.compile(rf"\.({'|'.join(map(re.escape, _BEFORE_TRAINING))})\..+")
"""The draft of a file that a crash left."""


def trained_nothing(folder: Path) -> bool:
    """Whether a folder holds a run without a checkpoint, a finished epoch or results, and nothing else.

    Raises: FolderError if its rows cannot be read.
    """
    if not (folder / FIRST).is_file() or any((folder / "checkpoints").glob("step-*")):
        return False
    names = {file.name for file in folder.iterdir() if not _DRAFT.fullmatch(file.name)}
    return names <= {*_BEFORE_TRAINING} and not any(read_lines(folder / METRICS))


def clear(folder: Path) -> None:
    """Remove the files of a run that has trained nothing, so that another can start in its folder.

    Raises: FolderError if another process has the run.
    """
    with Run(folder).locked():
        if not trained_nothing(folder):
            raise FolderError(f"{folder} has been trained in the meantime; continue it with --resume auto")
        for name in sorted(
            _BEFORE_TRAINING, key=lambda name: name == FIRST
        ):  # the file that makes the folder a run is removed last
            remove(folder / name, within=folder)
