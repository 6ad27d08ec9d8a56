"""The lock of a folder, among the processes of one machine and of several that share the folder.

The system releases its lock (flock) when the holder ends. But some shared file systems do not pass it on to other
machines, and others keep that of a machine that is gone. So the holder also signs: `.owner.json` names its process, its
machine and its attempt at the folder, and is touched every few seconds, as a heartbeat. A process that finds the
signature of another machine is refused when the heart beats, and takes over when it has not for `PATIENCE` seconds. A
holder whose signature was replaced, since it slept or lost its connection, must write nothing more: `check_held`.
A heart that misses beats also tells that the process was paused: `paused`.
"""

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from resatlas.errors import BlueprintError, FolderError
from resatlas.runs.files import NEW, read_json, remove, write_json
from resatlas.values.codec import decode, encode, known
from resatlas.values.machine import alive, boot, identity
from resatlas.values.notes import once
from resatlas.values.reading import opened

OWNER = ".owner.json"
"""The signature of the holder; a crash leaves it there, and the next holder replaces it."""

BEAT = 5.0
"""Seconds between two heartbeats."""

SLOW = 5.0
"""Seconds by which a heartbeat may be late without a pause of the process, as on a busy machine."""

PATIENCE = 120.0
"""Seconds without a heartbeat after which the lock of another machine is taken over."""

_LINGERING = 15.0
"""Seconds that child processes of a killed process may outlive it and keep its lock."""

_LOOK = 0.1
"""Seconds between two looks at the lock of a process that may be about to end."""

_WATCH = 0.5
"""Seconds between two looks at the heartbeat of another machine."""

_LARGEST = 10_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The contents of .owner.json. Earlier versions wrote pid, host and since alone, and their hearts do not beat.

    `process` is the identity of the process; `folder` is the inode of the folder, so that a copy of it is not locked;
    `mark` is random, so that no two signatures are equal.
    """

    pid: int
    host: str
    since: str = "an unknown time"
    boot: str = ""
    process: str = ""
    folder: int = 0
    attempt: int = 0
    mark: str = ""

    def __str__(self) -> str:
        """The words of a message."""
        return f"pid {self.pid} on {self.host} since {self.since}"

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine, so that its number can be looked up."""
        own = identity(os.getpid())
        if self.process and own:
            return self.process.split()[:2] == own.split()[:2]
        return self.host == socket.gethostname()

    @property
    def living(self) -> bool:
        """Whether a process of this machine still lives."""
        return alive(self.pid) and (not self.process or identity(self.pid) in (self.process, ""))


class _Heart:
    """The beats of a holder, and the seconds that it missed since it was paused (SIGSTOP, a suspended job)."""

    def __init__(self) -> None:
        self._last, self._missed, self._one_at_a_time = time.monotonic(), 0.0, threading.Lock()

    def beat(self) -> None:
        """Note a beat."""
        with self._one_at_a_time:
            self._count()
            self._last = time.monotonic()

    def missed(self) -> float:
        """Seconds missed so far, also those of a pause that ended just now, before the next beat."""
        with self._one_at_a_time:
            self._count()
            return self._missed

    def _count(self) -> None:
        now = time.monotonic()
        late = now - self._last - BEAT
        if late > SLOW:
            self._missed += late
            self._last = now


_HELD: dict[Path, tuple[Holder, _Heart]] = {}
"""The signatures of this process and their hearts, by folder."""


@contextmanager
def locked(folder: Path, *, before: int = 0, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a folder; the system releases it when this process ends.

    `before` is the number of recorded attempts at the folder; `on_wait` is called at each look at the lock of another
    process that may be gone, and may raise an error to give up.
    Raises: FolderError with the holder: pid, host, and since when.
    """
    handle, place = os.open(folder, os.O_RDONLY), folder.absolute()
    try:
        earlier = _take(handle, folder, on_wait)
        own = _sign(folder, attempt=1 + max(before, earlier.attempt if earlier else 0))
        heart = _Heart()
        if own:
            _HELD[place] = own, heart
        try:
            with _beating(folder / OWNER, heart):
                yield
        finally:
            _HELD.pop(place, None)
            if own == heartbeat(folder)[0]:
                with suppress(OSError, FolderError):
                    remove(folder / OWNER, within=folder)
    finally:
        os.close(handle)


def holder(folder: Path) -> Holder | None:
    """The process that has signed a folder last and has not released it; it may be gone."""
    return heartbeat(folder)[0]


def attempt(folder: Path) -> int:
    """The number of this process's attempt at a folder whose lock it holds; 0 if it holds none."""
    held = _HELD.get(folder.absolute())
    return held[0].attempt if held else 0


def paused(folder: Path) -> float:
    """Seconds, at least, for which this process was paused while it held the lock of a folder."""
    held = _HELD.get(folder.absolute())
    return held[1].missed() if held else 0.0


def check_held(folder: Path) -> None:
    """Check that no other process has taken over the lock of a folder, if this process holds it.

    Raises: FolderError with the process that has taken over.
    """
    if folder.absolute() not in _HELD:
        return
    own, _ = _HELD[folder.absolute()]
    for _ in range(3):
        now = heartbeat(folder)[0]
        if now == own or not folder.is_dir():  # that the folder was removed is reported by the next write
            return
        if now:
            raise FolderError(
                f"{folder} was taken over by {now}, since this process had not answered; nothing more is saved here"
            )
        time.sleep(_LOOK)  # a file system of another machine may fail for a moment
    raise FolderError(
        f"{folder / OWNER} has disappeared: another process may have taken over; nothing more is saved here"
    )


def _take(handle: int, folder: Path, on_wait: Callable[[], None]) -> Holder | None:
    """Take the lock, and return who held it before and did not release it, if anybody.

    Raises: FolderError
    """
    begun, blocked, first = time.monotonic(), False, None
    while True:
        free = _flocked(handle)
        holder, beat = heartbeat(folder)
        if holder and not holder.here and holder.process:
            if free and blocked:  # the system's lock reaches across these machines, so the holder has ended
                return holder
            if first not in (None, (holder, beat)):
                raise _refusal(folder, holder)
            first = holder, beat
            silent = _now(folder) - beat
            if silent > PATIENCE:
                return holder
            _say_waiting(folder, holder, silent)
            pause = _WATCH
        else:
            if holder and ((not free and not holder.here) or (holder.here and holder.living)):
                raise _refusal(folder, holder)
            if free:
                return holder
            if time.monotonic() - begun > _LINGERING:
                raise _refusal(folder, holder)
            pause = _LOOK
        blocked = blocked or not free
        on_wait()
        time.sleep(pause)


def _flocked(handle: int) -> bool:
    """Whether this process now has the system's lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refusal(folder: Path, holder: Holder | None) -> FolderError:
    if holder is None:
        return FolderError(f"{folder} is locked by a process that has not written its number")
    return FolderError(f"{folder} is locked by {holder}, which trains it now")


def _say_waiting(folder: Path, holder: Holder, silent: float) -> None:
    once(
        f"lock of {folder}",
        f"{folder} is locked by {holder}, whose last heartbeat is {max(silent, 0):.0f} s old; another machine takes "
        f"over when it is {PATIENCE:.0f} s old",
    )


def _sign(folder: Path, *, attempt: int) -> Holder | None:
    """Record this process as the holder. An error is ignored here: the next write of the run reports it."""
    own = Holder(
        pid=os.getpid(),
        host=socket.gethostname(),
        since=datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        boot=boot(),
        process=identity(os.getpid()),
        folder=folder.stat().st_ino,
        attempt=attempt,
        mark=token_hex(8),
    )
    try:
        write_json(folder / OWNER, encode(own), within=folder)
    except (OSError, FolderError):
        return None
    return own


def heartbeat(folder: Path) -> tuple[Holder | None, float]:
    """The holder that has signed, and the time of its last heartbeat by the clock of the file system."""
    try:
        with opened(folder / OWNER) as file:
            beat = os.fstat(file.fileno()).st_mtime
        holder = decode(Holder, known(Holder, read_json(folder / OWNER, most=_LARGEST)), where=OWNER)
        copied = holder.folder and holder.folder != folder.stat().st_ino
    except (OSError, FolderError, BlueprintError):
        return None, 0.0
    return (None, 0.0) if copied else (holder, beat)


def _now(folder: Path) -> float:
    """The time by the clock that stamps the heartbeats: that of the folder's file system."""
    draft = folder / f".{OWNER}.{token_hex(8)}.draft"
    try:
        handle = os.open(draft, NEW, 0o600)
        try:
            return os.fstat(handle).st_mtime
        finally:
            os.close(handle)
            draft.unlink()
    except OSError:
        return time.time()


@contextmanager
def _beating(file: Path, heart: _Heart) -> Iterator[None]:
    """Touch our signature every `BEAT` seconds, in a thread, since a step or a test may take longer."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)  # ours, whatever takes its name later
    except OSError:
        yield
        return
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            heart.beat()
            with suppress(OSError):
                os.utime(handle)

    thread = threading.Thread(target=beat, daemon=True)
    try:
        with suppress(RuntimeError):  # no thread is left for this user: the system's lock must do
            thread.start()
        yield
    finally:
        over.set()
        if thread.is_alive():
            thread.join(BEAT)
        os.close(handle)
