"""The lock of a run's folder, and the record of its holder."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resatlas.errors import FolderError
from resatlas.runs.files import read_json, remove, write_json

OWNER = ".owner.json"
"""The file that says who holds the lock; a crash leaves it there, and the next one replaces it."""

_LINGERING = 15.0
"""Seconds that child processes of a killed process may outlive it and keep its lock."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system releases it when this process ends.

    Raises: FolderError with who holds it: pid, host, and since when.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        _take(handle, folder)
        _sign(folder)
        try:
            yield
        finally:
            with suppress(OSError, FolderError):
                remove(folder / OWNER, within=folder)
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    """Take the lock; of a process that died, its readers of images may hold it a few seconds longer."""
    begun = time.monotonic()
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner, waited = _owner(folder), time.monotonic() - begun
            pid, host, since = (owner.get(key) for key in ("pid", "host", "since"))
            signed = isinstance(pid, int) and isinstance(host, str)
            if signed and (host != socket.gethostname() or alive(pid) or waited > _LINGERING):
                raise FolderError(
                    f"{folder} is locked by pid {pid} on {host} since {since}, which trains it now"
                ) from None
            if waited > _LINGERING:
                raise FolderError(f"{folder} is locked by a process that has not written its number") from None
            time.sleep(0.1)


def _sign(folder: Path) -> None:
    """Record the holder of the lock. An error is ignored here: the next write of the run reports it."""
    since = datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    with suppress(OSError, FolderError):
        write_json(folder / OWNER, {"pid": os.getpid(), "host": socket.gethostname(), "since": since}, within=folder)


def _owner(folder: Path) -> dict[str, Any]:
    """The record of the lock's holder; empty before it is written."""
    try:
        owner = read_json(folder / OWNER)
    except FolderError:
        return {}
    return owner if isinstance(owner, dict) else {}


def alive(pid: int) -> bool:
    """Whether a process of that number lives on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # a process of another user
        return True
    return True
