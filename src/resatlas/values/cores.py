"""The cores that this process may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows the groups of processes, and what each may use. Source: cgroups(7)."""

OWN = Path("/proc/self/cgroup")
"""Which of them are this process's, a line each: number, controllers, path."""


def cores() -> int:
    """As many as its affinity and the quota of its groups allow; at least one. A part of a core does not count."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min([allowed, *map(int, quotas())]), 1)


def quotas(own: Path = OWN, groups: Path = GROUPS) -> Iterator[float]:
    """What each group of this process may use, in cores, where it is limited: a container's quota, a batch system's."""
    with suppress(OSError, ValueError):  # elsewhere than on Linux
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = groups / "cpu" if controllers else groups
            inside = PurePosixPath(path)
            for each in (inside, *inside.parents):
                yield from _quota(top / each.relative_to(inside.anchor or "."))


def _quota(group: Path) -> Iterator[float]:
    """Microseconds of quota over those of its period: one file in version 2, two in version 1."""
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        yield int(quota) / int(period)  # "max" is no number
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
