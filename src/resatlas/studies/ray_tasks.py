"""A study on a Ray cluster: tasks that carry out shares, watched through the folders of the runs.

A task starts `resatlas study --share I/N` on the copy of the study, in a process of its own. Ray begins the task of a
lost node again. The tasks end with this process; another one at the same folder watches until it ends.
"""

import ctypes
import logging
import math
import os
import re
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.errors import FolderError, Stopped, UsageError, quoted
from resatlas.runs.lock import BEAT, Holder, holder, locked
from resatlas.runs.store import check_writable
from resatlas.studies.study import Study
from resatlas.studies.submitting import (
    OUTPUTS,
    OnProgress,
    Report,
    changed_since,
    check_shares,
    command,
    copy,
    frozen,
    last_words,
    submitting_from,
    unfinished,
)
from resatlas.training.signals import StopRequest, stop_on_signal
from resatlas.training.watch import NOTE_AFTER
from resatlas.values.reading import opened
from resatlas.values.text import counted, plain

if TYPE_CHECKING:
    from ray import ObjectRef

FOLDER = "ray"
"""Below the folder of the runs: a copy of the study, and the output of each share."""

INSTALL = "pip install 'resatlas[ray]'"

_POLL_SECONDS = 1.0
_ANSWER = 5.0
"""Seconds within which a cluster accepts a connection."""

_LOSSES = 20
"""Losses of its process or node after which a share is not begun again."""

_GRACE = 120.0
"""Seconds that tasks may take to save their runs after a signal."""

_SILENCE = 30.0
"""Seconds without a sign of life after which a share is not waited for when the tasks are cancelled."""

_LONGEST = 300
"""Characters of a message of Ray that an error repeats."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a share occupies: processors, one a thread, and a part of a GPU."""

    processors: int
    gpus: float = 0.0

    def __str__(self) -> str:
        """The words of a message."""
        return counted(self.processors, "processor") + (f" and {self.gpus:g} of a GPU" if self.gpus else "")

    def fit_in(self, resources: Mapping[str, float]) -> int:
        """How many fit into the resources of a node."""
        by_processor = int(resources.get("CPU", 0) // self.processors)
        return min(by_processor, int(resources.get("GPU", 0) / self.gpus + 1e-9)) if self.gpus else by_processor


def carry_out_on_ray(
    study: Study,
    file: Path,
    folder: Path,
    *,
    address: str | None = None,
    jobs: int | None = None,
    gpus: float = 0.0,
    warn_after: float = NOTE_AFTER,
    on_progress: OnProgress,
) -> None:
    """Carry out the unfinished runs of a study by a Ray cluster, or watch the process that does so.

    `address` is HOST:PORT of the cluster, by default RAY_ADDRESS, or the cluster of this machine.
    `gpus` is the part of a GPU for each share. By default there are as many shares as the cluster has places for.
    A share or a run that shows no sign of life for `warn_after` seconds is reported.
    A signal cancels the tasks, which save their runs.
    Raises: UsageError without the package, such a cluster, or a node with what a share occupies; FolderError; Stopped
        after a signal; ResatlasError if tasks end with unfinished runs.
    """
    check_shares(jobs)
    if not 0 <= gpus <= 1:
        raise UsageError(f"--gpus must be between 0 and 1, since a run uses one GPU at most; got {gpus:g}")
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    need = Place(processors=int(threads) if threads.isdecimal() and int(threads) else 1, gpus=gpus)
    check_writable(folder)
    with ExitStack() as stack:
        where, places = stack.enter_context(_connected(address, need))
        place = folder.resolve() / FOLDER
        place.mkdir(parents=True, exist_ok=True)
        request = stack.enter_context(stop_on_signal())
        report = Report(study, folder, on_progress, engine="Ray", warn_after=warn_after)
        try:
            stack.enter_context(locked(place))
        except FolderError:
            if other := holder(place):
                _watch(study, file, place, other, report, request)
                return
            raise
        left = unfinished(study, folder)
        if not left:
            return
        shares = min(jobs or places, len(left))
        with submitting_from(place), frozen(study, folder):
            copied = copy(study, file, place)
        tasks = _submitted(command(copied, place.parent), place, shares, need)
        report.say(f"submitted {counted(shares, 'share')} to Ray at {where}; their output: {place}/{OUTPUTS}")
        _wait({task: place / f"{k}.log" for k, task in enumerate(tasks)}, report, place, request)


@contextmanager
def _connected(address: str | None, need: Place) -> Iterator[tuple[str, int]]:
    """A connection to a cluster: its address, and the number of its places; Ray's own messages are not shown.

    Raises: UsageError
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address:
        _check_reachable(address)
    try:
        import ray
    except ImportError:
        raise UsageError(f"--on ray needs the package ray: {INSTALL}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        what = f"at {address}" if address else "on this machine"
        raise UsageError(
            f"no Ray cluster {what}: {_one_line(error)}; `ray start --head` starts one, --on ray:HOST:PORT names one"
        ) from None
    try:
        where = ray.get_runtime_context().gcs_address
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        places = sum(map(need.fit_in, nodes))
        if not places:
            largest = [
                counted(int(max([0, *(node.get(what, 0) for node in nodes)])), noun)
                for what, noun in (("CPU", "processor"), ("GPU", "GPU"))
            ]
            raise UsageError(
                f"no node of the Ray cluster at {where} has {need}; the largest have {' and '.join(largest)}"
            )
        yield where, places
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address at which nothing listens: Ray itself would try for minutes.

    Raises: UsageError
    """
    match = re.fullmatch(r"([^:/\s]+):([0-9]{1,5})", address)
    if not match:
        raise UsageError(f"the address of a Ray cluster is HOST:PORT, such as 10.0.0.1:6379; got {quoted(address)}")
    try:
        socket.create_connection((match[1], int(match[2])), timeout=_ANSWER).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"no Ray cluster at {address}: {why.lower()}; `ray status` on its head shows it") from None


def _submitted(words: Sequence[str], place: Path, shares: int, need: Place) -> "list[ObjectRef[int]]":
    """A task for each share; the output of the k-th, from 0, is in k.log, which exists when it has begun."""
    import ray

    task = ray.remote(num_cpus=need.processors, num_gpus=need.gpus, max_retries=_LOSSES)(carry_out_share)
    threads = str(need.processors)
    return [
        task.remote([*words, "--share", f"{k + 1}/{shares}", "--workers", "1"], str(place / f"{k}.log"), threads)
        for k in range(shares)
    ]


def carry_out_share(words: Sequence[str], log: str, threads: str) -> int:
    """In a process of Ray: the exit code of a share, which saves its runs and ends when this process is to end.

    Ray cancels a task by a KeyboardInterrupt that wakes no system call, hence the polling.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a node that a shell began in the background ignores it
    with open(log, "ab") as output:  # noqa: PTH123 - nothing else is needed on the node
        child = subprocess.Popen(  # noqa: S603
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": threads},
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        try:
            beaten = time.monotonic()
            while (code := child.poll()) is None:
                time.sleep(0.1)
                if time.monotonic() - beaten > BEAT:
                    beaten = time.monotonic()
                    os.utime(output.fileno())
            return code
        except KeyboardInterrupt:
            pass
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        return child.returncode


def _end_with_parent() -> None:
    """Let the system send SIGTERM to this process when the process of Ray is killed. Source: prctl(2)."""
    with suppress(OSError, AttributeError):  # a system that is not Linux
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _wait(tasks: "Mapping[ObjectRef[int], Path]", report: Report, place: Path, request: StopRequest) -> None:
    """Report until no task waits or runs; a signal cancels those that have not begun, then the others.

    `tasks` are with their output, which a task touches while it lives.
    Raises: Stopped; ResatlasError with the last line of a share, if runs are not finished.
    """
    import ray

    deadline, lost = math.inf, ""
    waiting = list(tasks)
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1, timeout=_POLL_SECONDS)
        for task in done:
            try:
                ray.get(task)
            except ray.exceptions.TaskCancelledError:
                pass
            except ray.exceptions.RayError as error:
                lost = f"Ray says: {_one_line(error)}"
        note = ""
        if request.signal and deadline == math.inf:
            deadline, note = time.monotonic() + _GRACE, "the tasks are cancelled; their runs are saved"
            for task in sorted(tasks, key=lambda task: tasks[task].exists()):
                ray.cancel(task)
        stamps = _stamps([tasks[task] for task in waiting])
        report.say(note, shares=stamps)
        hanging = [name for name in stamps if report.heartbeats.silence(name) > _SILENCE]
        if time.monotonic() > deadline or (request.signal and waiting and len(hanging) == len(waiting)):
            break
    if request.signal:
        raise Stopped(f"by {request.signal.name}, {report.saved()}; rerun the command to continue")
    report.check_finished("the work on Ray", words=lost or last_words(place))


def _stamps(outputs: Sequence[Path]) -> dict[str, float]:
    """When the outputs of shares that have begun were touched last, by the names of the shares."""
    stamps = {}
    for output in outputs:
        with suppress(OSError), opened(output) as file:  # other machines see a touch when they open the file
            stamps[f"share {int(output.stem) + 1}"] = os.fstat(file.fileno()).st_mtime
    return stamps


def _watch(study: Study, file: Path, place: Path, other: Holder, report: Report, request: StopRequest) -> None:
    """Report until the process that has submitted the study ends.

    Raises: UsageError if the study has changed since; Stopped after a signal, which ends only the watching;
        ResatlasError if runs are not finished.
    """
    if changed := changed_since(study, file, place):
        raise UsageError(
            f"{changed} has changed since {other} carries out the study on Ray; restore it, or end that process"
        )
    report.say(f"attached to {other}, which carries out the study on Ray; their output: {place}/{OUTPUTS}")
    while holder(place) == other and _held(place):
        if request.signal:
            raise Stopped(f"by {request.signal.name}; {other} carries out the study further")
        time.sleep(_POLL_SECONDS)
        report.say()
    report.check_finished(f"the work of {other}", words=last_words(place))


def _held(place: Path) -> bool:
    """Whether another process holds the lock of a folder."""
    try:
        with locked(place):
            return False
    except FolderError:
        return True


def _one_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return plain(lines[0].strip())[:_LONGEST]
