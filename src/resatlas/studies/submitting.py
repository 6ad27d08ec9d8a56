"""What the engines of a cluster share: the copy of a study, its frozen plan, its shares and their output, its progress.

An engine starts `resatlas study --share I/N` on its nodes, which see the folder of the runs and the environment of this
Python under the same paths; what it knows of the runs it reads from their folders.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from resatlas.errors import FolderError, ResatlasError, UsageError
from resatlas.runs.files import remove, write_text
from resatlas.runs.frozen_plan import FILE as PLAN
from resatlas.runs.lock import heartbeat
from resatlas.runs.store import Run
from resatlas.studies.frozen import freeze
from resatlas.studies.heartbeats import Heartbeats
from resatlas.studies.sharing import MOST_SHARES
from resatlas.studies.status import study_status
from resatlas.studies.study import Study
from resatlas.values.reading import text
from resatlas.values.text import plain

COPY = "study"
"""In the folder of an engine: its copy of the study, which a later change of the file does not reach."""

OUTPUTS = "*.log"
"""In the folder of an engine: the output of each share."""

_LONGEST = 300
"""Characters of a line of output that an error repeats."""


@dataclass(frozen=True, kw_only=True)
class ClusterProgress:
    """Runs by their state, the share of epochs that is done, and a permanent line, if there is one."""

    states: Counter[str]
    share: float
    note: str = ""


OnProgress = Callable[[ClusterProgress], None]


class Report:
    """What is said while shares are carried out, read from the folders of the runs."""

    def __init__(self, study: Study, folder: Path, on_progress: OnProgress, *, engine: str, warn_after: float) -> None:
        self._study, self._folder, self._on_progress = study, folder, on_progress
        self._advice = (
            f"{engine} begins a lost share again once it notices; end what hangs with kill -9 on its machine, or press "
            "Ctrl-C and rerun the command"
        )
        self._finished: set[str] | None = None
        self.heartbeats = Heartbeats(warn_after=warn_after)

    def say(self, note: str = "", *, shares: Mapping[str, float] = MappingProxyType({})) -> None:
        """The progress now, with a line for each run that has finished since the last time, and one about silence.

        `shares` are the stamps of shares that should live, by their names.
        """
        table = study_status(self._study, self._folder)
        states = {str(row[0]): str(row[1]) for row in table.rows}
        finished = {name for name, state in states.items() if state == "finished"}
        new = sorted(finished - self._finished) if self._finished is not None else []
        self._finished = finished
        done = sum(int(row[2] or 0) for row in table.rows)
        epochs = sum(int(row[3] or 0) for row in table.rows)
        share = min(done / epochs, 1.0) if epochs else 0.0
        self.heartbeats.look({**shares, **_stamps(self._folder, [*states.keys() - finished])})
        silent = self.heartbeats.note()
        warning = [f"{silent}; {self._advice}"] if silent else []
        for line in [note, *(f"{name} is finished" for name in new), *warning]:
            self._on_progress(ClusterProgress(states=Counter(states.values()), share=share, note=line))

    def saved(self) -> str:
        """Whether every run that has begun is saved, after its shares were cancelled, in words."""
        rows = study_status(self._study, self._folder).rows
        left = [str(row[0]) for row in rows if row[1] in ("running", "silent")]
        more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
        return f"{left[0]}{more} not saved since the last checkpoint" if left else "every run saved"

    def check_finished(self, what: str, *, words: str = "") -> None:
        """Check that all runs are finished, after `what` has ended; `words` is what its shares have said last.

        Raises: ResatlasError
        """
        rows = study_status(self._study, self._folder).rows
        left = [f"{row[0]} {row[1]}" + (f" ({row[5]})" if row[5] else "") for row in rows if row[1] != "finished"]
        if left:
            more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
            ended = f"{what} has ended with unfinished runs: {left[0]}{more}"
            raise ResatlasError("; ".join(filter(None, [ended, words, "rerun the command to continue"])))


def _stamps(folder: Path, runs: Sequence[str]) -> dict[str, float]:
    """The last heartbeat of each of some runs that a process has signed, with the run and the process as its name."""
    beats = {name: heartbeat(folder / name) for name in sorted(runs)}
    return {f"{name} ({holder})": beat for name, (holder, beat) in beats.items() if holder}


def check_shares(jobs: int | None) -> None:
    """Refuse a number of shares that no study has.

    Raises: UsageError
    """
    if jobs is not None and not 1 <= jobs <= MOST_SHARES:
        raise UsageError(f"--jobs must be between 1 and {MOST_SHARES:,}; got {jobs:,}")


def unfinished(study: Study, folder: Path) -> list[str]:
    """The names of the runs that are not finished."""
    return [name for name in study.distinct_experiments() if not Run(folder / name).concluded]


@contextmanager
def frozen(study: Study, folder: Path) -> Iterator[None]:
    """Freeze the plan of a study; if its submission is refused, a plan that was not frozen before is not."""
    before = (folder / PLAN).exists()
    freeze(study, folder)
    try:
        yield
    except (ResatlasError, OSError):
        if not before:
            remove(folder / PLAN, within=folder)
        raise


@contextmanager
def submitting_from(place: Path) -> Iterator[None]:
    """Within the context, a full disk is told in the words of an unwritable folder.

    Raises: FolderError
    """
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise FolderError(f"{place} cannot be written: {why}; nothing is submitted") from None


def copy(study: Study, file: Path, place: Path) -> Path:
    """Copy a study and the files of its designs to the folder of an engine, without what an earlier job left there.

    Raises: UsageError for a design outside of the folder of the study; OSError if nothing can be written.
    """
    contents = _files(study, file)
    for left in (place / COPY, *place.glob(OUTPUTS)):
        remove(left, within=place)
    for name, content in contents.items():
        (place / COPY / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(place / COPY / name, content, within=place)
    return place / COPY / file.name


def changed_since(study: Study, file: Path, place: Path) -> Path | None:
    """A file of a study that is not the one which an engine has copied, if there is one."""
    for name, content in _files(study, file).items():
        copied = place / COPY / name
        if not copied.is_file() or text(copied) != content:
            return file.parent / name
    return None


def _files(study: Study, file: Path) -> dict[str, str]:
    """The study's file and those of its designs, by their paths below the folder of the study.

    Raises: UsageError for a design outside of that folder.
    """
    names = [file.name, *(blueprint.file for blueprint in study.blueprints)]
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UsageError(f"{name} is outside the folder of {file.name}; move it there, so that the job has a copy")
    return {name: text(file.parent / name) for name in names}


def command(copied: Path, out: Path) -> list[str]:
    """The command of every share, without --share and --workers."""
    return [sys.executable, "-m", "resatlas", "study", str(copied), "--out", str(out), "--quiet"]


def last_words(place: Path) -> str:
    """The last line of the output of a share that has said something, and where the others are."""
    for log in sorted(place.glob(OUTPUTS), key=lambda file: (len(file.stem), file.stem)):
        with suppress(OSError, ValueError):
            lines = text(log).strip().splitlines()
            if lines:
                return f"{log} ends with: {plain(lines[-1])[:_LONGEST]}"
    return f"see {place}/{OUTPUTS}"
