"""A run during training: starting, locking, writing and finding its folder."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resatlas.arch import plan as plans
from resatlas.arch.plan import Plan
from resatlas.errors import CheckpointError, FolderError, quoted
from resatlas.runs import experiment as experiments
from resatlas.runs.decoding import check_is_run, read_beginning, read_rows, read_run, read_starts, read_status
from resatlas.runs.environment import environment, start_of
from resatlas.runs.experiment import Experiment
from resatlas.runs.files import append_line, lines_of, make_folder, read_json, read_lines, sweep, write_json, write_text
from resatlas.runs.lock import OWNER, attempt, check_held, locked, paused
from resatlas.runs.names import ENVIRONMENT, FIRST, METRICS, RESULTS, STATUS, TIMING
from resatlas.runs.record import Beginning, Best, EpochRow, RunRecord, Status, TimingRow, best_of

_ROWS = (METRICS, TIMING)
"""The files that get one row per epoch."""


@dataclass(frozen=True)
class Run:
    """A run on disk, by its folder, as the training process writes it."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.folder / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether it has results."""
        return (self.folder / RESULTS).is_file()

    @property
    def concluded(self) -> bool:
        """Whether the run is complete: its status, written after results and seal, is finished."""
        if not self.finished:
            return False
        status = read_status(self.folder)
        return status is None or status.status == "finished"

    def beginning(self) -> Beginning:
        """The start of the run.

        Raises: FolderError
        """
        return read_beginning(self.folder)

    def record(self) -> RunRecord:
        """The contents of its files.

        Raises: FolderError
        """
        return read_run(self.folder)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows so far, one per epoch, without times: equal after any number of resumes."""
        return list(read_lines(self.folder / METRICS))

    @property
    def timing(self) -> list[dict[str, Any]]:
        """The rows so far, one per epoch: seconds and images per second."""
        return list(read_lines(self.folder / TIMING))

    def best(self) -> Best | None:
        """The best of the epochs so far.

        Raises: FolderError if their rows cannot be read.
        """
        return best_of(read_rows(self.folder / METRICS, EpochRow))

    def check_held(self) -> None:
        """Check that no other process has taken over the run, if this process holds its lock.

        Raises: FolderError
        """
        check_held(self.folder)

    def paused(self) -> float:
        """Seconds, at least, for which this process was paused since it got the lock of the run."""
        return paused(self.folder)

    def record_epoch(self, metrics: dict[str, Any], timing: dict[str, Any]) -> None:
        """Add the rows of one epoch.

        Raises: FolderError if another process has taken over the run.
        """
        self.check_held()
        append_line(self.folder / METRICS, metrics, within=self.folder)
        append_line(self.folder / TIMING, timing, within=self.folder)

    def rows(self, epochs: int) -> dict[str, str]:
        """The sha256 of the rows of the first epochs, by file, as in a checkpoint of their end.

        Raises: CheckpointError if a file has fewer rows.
        """
        return {name: hashlib.sha256("".join(self._kept(name, epochs)).encode()).hexdigest() for name in _ROWS}

    def check_rows(self, epochs: int, sealed: Mapping[str, str] | None) -> None:
        """Check that the rows are those of a checkpoint, from its number of finished epochs and its sha256.

        Raises: CheckpointError with the file.
        """
        digests = self.rows(epochs)
        if sealed is None:  # of an earlier version: check at least that they can be decoded
            read_rows(self.folder / METRICS, EpochRow)
            read_rows(self.folder / TIMING, TimingRow)
        for name in _ROWS if sealed else ():
            if sealed and sealed.get(name) != digests[name]:
                raise CheckpointError(
                    f"{self.folder / name} was changed: its first {epochs} rows are not those of the checkpoint; put "
                    "the file back as it was, or train in another folder with --out"
                )

    def cut_back(self, epochs: int) -> None:
        """Remove the rows after a number of finished epochs, for a resume from there.

        Raises: CheckpointError if a file has fewer rows.
        """
        for name in _ROWS:
            if (self.folder / name).exists() or epochs:
                write_text(self.folder / name, "".join(self._kept(name, epochs)), within=self.folder)

    def _kept(self, name: str, epochs: int) -> list[str]:
        if not self.folder.exists():
            raise CheckpointError(f"{self.folder}: no such file or directory")
        lines = [line for line in lines_of(self.folder / name) if line.endswith("\n")][:epochs]
        if len(lines) < epochs:
            raise CheckpointError(
                f"{self.folder / name} has {len(lines)} rows of the {epochs} finished epochs; put the file back as it "
                "was, or train in another folder with --out"
            )
        return lines

    def settle(self) -> None:
        """Create env.json and the folder of checkpoints if they are missing."""
        make_folder(self.checkpoints, within=self.folder)
        if not (self.folder / ENVIRONMENT).exists():
            write_json(self.folder / ENVIRONMENT, environment(), within=self.folder)

    def record_start(self, execution: dict[str, Any], *, step: int) -> None:
        """Add this start, after so many steps, to env.json: its attempt, machine, versions and execution.

        The execution of the last start also stands at the top.

        Raises: FolderError if env.json is not a table.
        """
        file = self.folder / ENVIRONMENT
        entries, before = read_json(file), read_starts(self.folder)
        if not isinstance(entries, dict):
            raise FolderError(f"{file}: expected a table, got {type(entries).__name__}")
        number = attempt(self.folder) or len(before) + 1
        start = {"attempt": number, "step": step, **start_of(environment()), "execution": execution}
        starts = [*(entries.get("starts") or []), start]
        write_json(file, {**entries, "execution": execution, "starts": starts}, within=self.folder)

    @contextmanager
    def locked(self, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock of the run, at most until this process ends, and remove drafts that a crash left.

        `on_wait` is as in `runs.lock`.
        Raises: FolderError with the process that holds the lock.
        """
        before = max((start.attempt for start in read_starts(self.folder)), default=0)
        with locked(self.folder, before=before, on_wait=on_wait):
            sweep(self.folder)
            yield

    def set_status(self, status: Status, **more: object) -> None:
        """Replace status.json.

        Raises: FolderError if another process has taken over the run.
        """
        self.check_held()
        write_json(self.folder / STATUS, {"status": status, "pid": os.getpid(), **more}, within=self.folder)


def begin(
    folder: Path,
    experiment: Experiment,
    plan: Plan,
    *,
    lock: ExitStack | None = None,
    on_wait: Callable[[], None] = lambda: None,
    **more: object,
) -> Run:
    """A new run in a folder that is empty or missing; `more` is added to experiment.json, its first file.

    `lock` holds the lock of the run until it is closed, so that no other process can start in the folder in between;
    without it the lock is released once the run has begun. `on_wait` is as in `runs.lock`.
    Raises: FolderError if the folder is occupied or cannot be written.
    """
    check_free(folder)
    run = Run(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as briefly:
            (lock or briefly).enter_context(run.locked(on_wait=on_wait))
            check_free(folder)  # again under the lock: another process may have started here meanwhile
            record = {**experiments.to_json(experiment), **more, "plan": plans.to_json(plan)}
            write_json(folder / FIRST, record, within=folder)
        run.settle()
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from None
    return run


def check_free(folder: Path) -> None:
    """Check that a folder is free, apart from drafts of a crash.

    Raises: FolderError
    """
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is a file; give a folder with --out")
    if (folder / FIRST).exists():
        raise FolderError(
            f"{folder} already holds a run; continue it with --resume auto or give another folder with --out"
        )
    left_by_a_crash = (f".{FIRST}.", OWNER, f".{OWNER}.")
    if folder.is_dir() and any(not file.name.startswith(left_by_a_crash) for file in folder.iterdir()):
        raise FolderError(f"{folder} holds other files; give another folder with --out")


def check_writable(folder: Path) -> None:
    """Check that a folder can be written, before any work is done for it.

    Raises: FolderError
    """
    if "\0" in str(folder):
        raise FolderError(f"{quoted(str(folder))} cannot be made: invalid path (null character)")
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as error:
        raise FolderError(f"{quoted(str(folder))} cannot be made: {(error.strerror or str(error)).lower()}") from None
    if not nearest.is_dir():
        raise FolderError(f"{folder} cannot be made: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise FolderError(f"{folder} cannot be written: no permission in {nearest}")


def find(folder: Path) -> Run:
    """The run of a folder.

    Raises: FolderError if there is none.
    """
    check_is_run(folder)
    return Run(folder)
