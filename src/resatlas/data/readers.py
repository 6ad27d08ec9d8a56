"""Batches made in worker processes and returned in order, without shared mounts, locks, queues or threads.

Each reader is a forked process at the other end of a pair of sockets. It receives the numbers of batches and sends each
batch back in anonymous memory, or as bytes where the system has none: a small /dev/shm, the default of containers, is
no limit. A process that dies closes its end, which the other sees at once.
"""

import errno
import mmap
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import torch

from resatlas.data.batch import Batch, Packed, Sample, packed, send, stacked, unpacked
from resatlas.errors import DataError

_AHEAD = 2
"""Batches that each reader prepares ahead of the one that is waited for."""

SILENCE = 600.0
"""Timeout of a reader for one image in seconds: a photograph takes less than one; a file server may not answer."""

_MOMENT = 5.0
"""Seconds to wait for a killed reader; one that waits for a file server may never end."""

_KILLED = "a process that reads images was killed, probably for lack of memory; use fewer --workers"

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that stop the training process, often sent to its whole group; readers ignore them and end with it."""


Found = Sample | DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """The work of the readers: the positions of each batch, the function for one sample, the selection of samples."""

    chunks: Sequence[Sequence[int]]
    make: Callable[[int], Found]
    gather: Callable[[list[Found]], list[Sample] | DataError]
    name: Callable[[int], str]
    """The name of a position for an error message."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A process that makes batches, our end of its sockets, and where it writes the position of the image it reads."""

    pid: int
    line: Connection
    places: "memoryview[int]"
    place: int

    @property
    def position(self) -> int:
        """The position of the image that it reads."""
        return self.places[self.place]


def made(work: Work, *, readers: int, on_note: Callable[[str], None]) -> Iterator[Batch | DataError]:
    """Every batch of the work, in order, whatever the number of readers; an error in the place of a batch.

    Where the system lets fewer be started, these make all; where none, this process does.

    Raises: DataError if a reader is killed or does not finish an image; MemoryError, and whatever `make` raises.
    """
    count = min(readers, len(work.chunks))
    crew, refusal = _started(work, count)
    try:
        if refusal:
            instead = f"images are read by {len(crew)}" if crew else "images are read by the process that uses them"
            missing = f"{count - len(crew)} of {count} processes that read images"
            on_note(f"{missing} cannot be started ({refusal}): {instead}")
        if not crew:
            yield from _made_here(work)
            return
        for k in range(min(_AHEAD * len(crew), len(work.chunks))):
            _ask(crew[k % len(crew)], k)
        for k in range(len(work.chunks)):
            reader = crew[k % len(crew)]
            batch = _received(reader, work)
            if k + _AHEAD * len(crew) < len(work.chunks):
                _ask(reader, k + _AHEAD * len(crew))
            yield batch
    finally:
        _end(crew)


def _made_here(work: Work) -> Iterator[Batch | DataError]:
    """The batches made in this process, by one thread as in a reader: sums over pixels may differ with threads."""
    for chunk in work.chunks:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            samples = work.gather([work.make(position) for position in chunk])
            batch = samples if isinstance(samples, DataError) else stacked(samples)
        finally:
            torch.set_num_threads(threads)
        yield batch


def _started(work: Work, count: int) -> tuple[list[Reader], str]:
    """Up to `count` readers, and the reason if there are fewer."""
    crew: list[Reader] = []
    try:
        places = memoryview(mmap.mmap(-1, 8 * max(count, 1))).cast("q")
        with _signals_held_back():
            for _ in range(count):
                crew.append(_forked(work, crew, places))
    except OSError as error:
        return crew, (error.strerror or str(error)).lower()
    except BaseException:
        _end(crew)
        raise
    return crew, ""


def _forked(work: Work, before: Sequence[Reader], places: "memoryview[int]") -> Reader:
    """A reader in its own process.

    Raises: OSError where the system has no process or no file left for it.
    """
    ours, theirs = Pipe()
    try:
        pid = os.fork()
    except BaseException:
        ours.close()
        theirs.close()
        raise
    reader = Reader(pid=pid, line=ours, places=places, place=len(before))
    if pid == 0:
        try:
            for earlier in (*before, reader):  # an inherited end that stays open would hide that the parent has ended
                earlier.line.close()
            _read(work, theirs, reader)
        finally:
            os._exit(0)
    theirs.close()
    return reader


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """No signal comes to a new process before it ignores them, where the system can do that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read(work: Work, line: Connection, reader: Reader) -> None:
    """The loop of a reader: make each requested batch, until the parent closes the line."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)

    def make(position: int) -> Found:
        reader.places[reader.place] = position
        return work.make(position)

    while True:
        try:
            k = line.recv()
        except (EOFError, OSError):
            return
        try:
            samples = work.gather([make(position) for position in work.chunks[k]])
            message = samples if isinstance(samples, DataError) else packed(samples)
        except Exception as error:  # the parent raises it again
            message = _portable(error)
        try:
            line.send(message) if isinstance(message, Exception) else send(line, *message)
        except OSError:  # the parent has ended
            return


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, as it can be sent."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # pickling may raise anything
        return RuntimeError(f"{type(error).__name__}: {error}")


def _ask(reader: Reader, k: int) -> None:
    with suppress(OSError):  # of a reader that has ended: `_received` reports it
        reader.line.send(k)


def _received(reader: Reader, work: Work) -> Batch | DataError:
    """The next batch of a reader, or the error in its place.

    Raises: as `made`.
    """
    _wait(reader, work)
    try:
        message = reader.line.recv()
        if isinstance(message, Packed):
            return unpacked(reader.line, message)
    except (EOFError, OSError) as error:  # without a number where a message breaks off
        if isinstance(error, OSError) and error.errno not in (None, errno.ECONNRESET, errno.EPIPE):
            raise
        raise DataError(_KILLED) from None
    if isinstance(message, DataError):
        return message
    raise message


def _wait(reader: Reader, work: Work) -> None:
    """Wait for what a reader sends, as long as it finishes one image after another.

    Raises: DataError with the image that it does not finish.
    """
    before = None
    while not reader.line.poll(SILENCE):
        if (position := reader.position) == before:
            raise DataError(
                f"{work.name(position)} has not been read in {SILENCE / 60:g} minutes; does its file server answer?"
            )
        before = position


def _end(crew: Sequence[Reader]) -> None:
    """Kill the readers: they hold nothing that needs to be released."""
    for reader in crew:
        with suppress(ProcessLookupError):
            os.kill(reader.pid, signal.SIGKILL)
        reader.line.close()
    deadline = time.monotonic() + _MOMENT
    for reader in crew:
        with suppress(ChildProcessError):  # of a process that ignores its children the system keeps none
            while os.waitpid(reader.pid, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.001)
