"""A run on disk: which files it has, how it is begun and found again."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from resatlas.arch import plan as plans
from resatlas.arch.plan import Plan
from resatlas.errors import FolderError, UsageError, quoted
from resatlas.runs import experiment as experiments
from resatlas.runs.environment import environment
from resatlas.runs.experiment import Experiment
from resatlas.runs.files import append_line, make_folder, read_json, read_lines, sweep, write_json, write_text

FIRST = "experiment.json"
"""The file that makes a folder a run, and the first to be written."""

LINGERING = 15.0
"""Seconds that what a killed process has started may outlive it."""

T = TypeVar("T")

Status = Literal["running", "stopped", "failed", "finished"]


@dataclass(frozen=True)
class Run:
    """One training on disk, by its folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints lie."""
        return self.folder / "checkpoints"

    @property
    def experiment(self) -> Experiment:
        """What it trains."""
        return self._told_by(experiments.from_json)

    @property
    def digest(self) -> str:
        """What its checkpoints know it by: the digest of its experiment as it was written down when it began."""
        return self._told_by(experiments.digest_as_written)

    @property
    def plan(self) -> Plan:
        """The plan of its network, for its data."""
        return self._told_by(lambda record: plans.from_json(record.get("plan")))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it learns, in the order of its outputs."""
        return tuple(map(str, self._record.get("classes", ())))

    @property
    def images(self) -> str:
        """The fingerprint of the files that it learns from; empty where its data have no files of their own."""
        return str(self._record.get("images", ""))

    def _told_by(self, read: Callable[[dict[str, Any]], T]) -> T:
        record = self._record
        try:
            return read(record)
        except UsageError as error:  # somebody has edited it
            raise FolderError(f"{self.folder / FIRST}: {error}") from None

    @property
    def _record(self) -> dict[str, Any]:
        record = read_json(self.folder / FIRST)
        if not isinstance(record, dict):
            raise FolderError(f"{self.folder / FIRST} does not describe an experiment")
        return record

    @property
    def results(self) -> dict[str, Any]:
        """Its results; there are some when it is finished."""
        return read_json(self.folder / "results.json")

    @property
    def finished(self) -> bool:
        """Whether it has its results."""
        return (self.folder / "results.json").is_file()

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One row an epoch, without a clock: equal after any number of resumes."""
        return list(read_lines(self.folder / "metrics.jsonl"))

    @property
    def timing(self) -> list[dict[str, Any]]:
        """One row an epoch: seconds and images a second."""
        return list(read_lines(self.folder / "timing.jsonl"))

    def record_epoch(self, metrics: dict[str, Any], timing: dict[str, Any]) -> None:
        """Add the rows of one epoch."""
        append_line(self.folder / "metrics.jsonl", metrics, within=self.folder)
        append_line(self.folder / "timing.jsonl", timing, within=self.folder)

    def cut_back(self, epochs: int) -> None:
        """Forget the rows after a number of finished epochs, as a resume from there does."""
        for name in ("metrics.jsonl", "timing.jsonl"):
            file = self.folder / name
            if file.exists():
                kept = list(read_lines(file))[:epochs]
                write_text(file, "".join(f"{json.dumps(row)}\n" for row in kept), within=self.folder)

    def settle(self) -> None:
        """Make what a begun run still lacks: its environment and the folder of its checkpoints."""
        make_folder(self.checkpoints, within=self.folder)
        if not (self.folder / "env.json").exists():
            write_json(self.folder / "env.json", environment(), within=self.folder)

    def record_execution(self, how: dict[str, Any]) -> None:
        """Say in env.json how it is carried out from its last start on."""
        file = self.folder / "env.json"
        write_json(file, {**read_json(file), "execution": how}, within=self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out, for as long as this one lives at most, and remove what a crash left half written.

        Raises: FolderError with the process that is in.
        """
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            self._lock(handle)
            sweep(self.folder)
            yield
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        """Take the lock; of a process that died, its readers of images may hold it a few seconds longer."""
        deadline = time.monotonic() + LINGERING
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                status = self.folder / "status.json"
                pid = read_json(status).get("pid", "unknown") if status.exists() else "unknown"
                if time.monotonic() > deadline or not isinstance(pid, int) or alive(pid):
                    raise FolderError(f"{self.folder} is locked by pid {pid}, which trains it now") from None
                time.sleep(0.1)

    def set_status(self, status: Status, **more: object) -> None:
        """Replace status.json."""
        write_json(self.folder / "status.json", {"status": status, "pid": os.getpid(), **more}, within=self.folder)


def alive(pid: int) -> bool:
    """Whether a process of that number lives on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def begin(folder: Path, experiment: Experiment, plan: Plan, **more: object) -> Run:
    """A new run in a folder that is empty or not there; `more` goes into experiment.json, its first file.

    Raises: FolderError if the folder is occupied or cannot be written.
    """
    check_free(folder)
    run = Run(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with run.locked():
            check_free(folder)  # two that begin at once are not mixed
            record = {**experiments.to_json(experiment), **more, "plan": plans.to_json(plan)}
            write_json(folder / FIRST, record, within=folder)
        run.settle()
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from None
    return run


def check_free(folder: Path) -> None:
    """Refuse a folder that holds anything but the draft of a run that a crash kept from beginning.

    Raises: FolderError
    """
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is a file; give a folder with --out")
    if (folder / FIRST).exists():
        raise FolderError(
            f"{folder} holds another run; continue it with --resume auto or give another folder with --out"
        )
    if folder.is_dir() and any(not file.name.startswith(f".{FIRST}.") for file in folder.iterdir()):
        raise FolderError(f"{folder} holds other files; give another folder with --out")


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be written, before any work is done for it.

    Raises: FolderError
    """
    if "\0" in str(folder):
        raise FolderError(f"{quoted(str(folder))} cannot be made: no system takes such a path")
    try:
        nearest = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError as error:
        raise FolderError(f"{quoted(str(folder))} cannot be made: {(error.strerror or str(error)).lower()}") from None
    if not nearest.is_dir():
        raise FolderError(f"{folder} cannot be made: {nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise FolderError(f"{folder} cannot be written: no permission in {nearest}")


def find(folder: Path) -> Run:
    """The run of a folder.

    Raises: FolderError if there is none.
    """
    if not (folder / FIRST).is_file():
        near = sorted(file.parent.name for file in folder.glob(f"*/{FIRST}"))[:3] if folder.is_dir() else []
        hint = f"; it holds the runs {', '.join(near)}, …" if near else ""
        reason = f"it has no {FIRST}" if folder.exists() else "it does not exist"
        raise FolderError(f"{folder} is no run: {reason}{hint}")
    return Run(folder)
