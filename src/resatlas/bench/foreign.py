"""The share of the cores that other programs take, from the counters of the kernel."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class Ticks(NamedTuple):
    """The time of all cores since the start of the machine, the part in which they were busy, and our part of that.

    The unit is the tick of the kernel, for all three. Ours are this process and its descendants, living or ended.
    Source: proc_stat(5) and proc_pid_stat(5) of Linux.
    """

    cores: int
    busy: int
    ours: int


def ticks(proc: Path = PROC, own: int | None = None) -> Ticks | None:
    """The counters now, for a process or this one; None where the system has none."""
    with suppress(OSError, ValueError):
        user, nice, system, idle, waiting, *rest = map(int, (proc / "stat").read_text().split("\n", 1)[0].split()[1:9])
        busy = user + nice + system + sum(rest)
        return Ticks(busy + idle + waiting, busy, _with_descendants(proc, os.getpid() if own is None else own))
    return None


def foreign_share(before: Ticks | None, after: Ticks | None) -> float | None:
    """The share of the cores that others took between two counts, from 0 to 1; None if it was not counted."""
    if before is None or after is None or after.cores <= before.cores:
        return None
    others = (after.busy - before.busy) - (after.ours - before.ours)
    return max(others, 0) / (after.cores - before.cores)


def _with_descendants(proc: Path, own: int) -> int:
    """The ticks of a process and of all that descend from it."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    for pid, (parent, used) in _processes(proc):
        parents[pid], spent[pid] = parent, used
    return sum(used for pid, used in spent.items() if own in _line(pid, parents))


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """A process, its parent, and so on."""
    seen: set[int] = set()
    while pid not in seen:
        seen.add(pid)
        yield pid
        pid = parents.get(pid, 0)


def _processes(proc: Path) -> Iterator[tuple[int, tuple[int, int]]]:
    """Each process with its parent and its ticks, with those of the children that it has waited for."""
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError, ValueError, IndexError):  # it may have ended
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                yield int(folder.name), (int(fields[1]), sum(map(int, fields[11:15])))
