"""The memory and the disk that this process may use, and the memory that it has used."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from resatlas.values.groups import GROUPS, OWN, group_folders

_MEMORY = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")

SETTLING = Path("/proc/self/clear_refs")
"""File that resets the peak memory of a process to its current memory; source: proc_pid_clear_refs(5) of Linux."""


class Room(NamedTuple):
    """Bytes that may be used, and those of them that are free now."""

    most: int
    free: int


def memory_room(memory: Path = _MEMORY, own: Path = OWN, groups: Path = GROUPS) -> Room | None:
    """The memory of the machine within the limits of containers and batch systems; None if the system does not say."""
    try:
        entries = {name: int(rest.split()[0]) * 1024 for name, rest in _entries(memory.read_text())}
        room = Room(entries["MemTotal"], entries["MemAvailable"])
    except (OSError, ValueError, LookupError):
        return None
    for limit, used in _limits(own, groups):
        room = Room(min(room.most, limit), min(room.free, max(limit - used, 0)))
    return room


def disk_free(folder: Path) -> int | None:
    """The free bytes of the file system of a folder, which need not exist yet; None if the system does not say."""
    for existing in (folder.absolute(), *folder.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(existing).free
    return None


def settled_memory() -> int:
    """Bytes of resident memory now; resets the peak to it."""
    SETTLING.write_text("5")
    return _status("VmRSS")


def resident_memory() -> int:
    """Bytes of resident memory now; 0 if the system does not say."""
    with suppress(OSError, LookupError):
        return _status("VmRSS")
    return 0


def peak_memory() -> int:
    """The largest number of bytes of resident memory since `settled_memory`, or the start."""
    return _status("VmHWM")


def _limits(own: Path, groups: Path) -> Iterator[tuple[int, int]]:
    """(limit, bytes in use that cannot be given back) of each group with a limit: version 2, then version 1."""
    for folder in group_folders("memory", own=own, groups=groups):
        for most, now in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with suppress(OSError, ValueError):  # "max", no limit, raises ValueError
                yield int((folder / most).read_text()), int((folder / now).read_text()) - _cached(folder)


def _cached(folder: Path) -> int:
    """Bytes of files in memory, which the system gives back where it needs them."""
    with suppress(OSError, ValueError, LookupError):
        return int(dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())["inactive_file"])
    return 0


def _entries(text: str) -> list[tuple[str, str]]:
    return [(name, rest) for name, _, rest in (line.partition(":") for line in text.splitlines()) if rest.strip()]


def _status(name: str) -> int:
    """Source: proc_pid_status(5) of Linux."""
    return int(dict(_entries(_STATUS.read_text()))[name].split()[0]) * 1024
