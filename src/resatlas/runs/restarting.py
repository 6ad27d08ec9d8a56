"""A run that has trained nothing: begun and refused, or ended before its first checkpoint. Nothing of it is kept."""

import re
from pathlib import Path

from resatlas.errors import FolderError
from resatlas.runs.departures import AMENDED, UNREADABLE
from resatlas.runs.files import read_lines, remove
from resatlas.runs.lock import OWNER
from resatlas.runs.names import ENVIRONMENT, FIRST, METRICS, NORMALISATION, STATUS, TIMING
from resatlas.runs.store import Run

BEFORE_TRAINING = (
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
"""What a run may have in its folder before it has trained anything; logs of TensorBoard lie in events."""

DRAFT = re.compile(rf"\.({'|'.join(map(re.escape, BEFORE_TRAINING))})\..+")
"""A file in the making that a crash left."""


def trained_nothing(folder: Path) -> bool:
    """Whether a folder holds a run without a checkpoint, a finished epoch or results, and nothing else.

    Raises: FolderError if its rows cannot be read.
    """
    if not (folder / FIRST).is_file() or any((folder / "checkpoints").glob("step-*")):
        return False
    names = {file.name for file in folder.iterdir() if not DRAFT.fullmatch(file.name)}
    return names <= {*BEFORE_TRAINING} and not any(read_lines(folder / METRICS))


def clear(folder: Path) -> None:
    """Remove what a run that has trained nothing left, so that another can begin in its folder.

    Raises: FolderError if another process has the run.
    """
    with Run(folder).locked():
        if not trained_nothing(folder):
            raise FolderError(f"{folder} has been trained in the meantime; continue it with --resume auto")
        for name in sorted(BEFORE_TRAINING, key=lambda name: name == FIRST):  # what makes it a run goes last
            remove(folder / name, within=folder)
