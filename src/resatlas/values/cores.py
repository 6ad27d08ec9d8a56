"""The cores that this process may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from resatlas.values.groups import GROUPS, OWN, group_folders


def cores() -> int:
    """The number of cores that affinity and quota allow, at least one; fractions of a core do not count."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min([allowed, *map(int, quotas())]), 1)


def quotas(own: Path = OWN, groups: Path = GROUPS) -> Iterator[float]:
    """The quotas in cores of the groups of this process that have one, such as from a container or a batch system."""
    for folder in group_folders("cpu", own=own, groups=groups):
        yield from _quota(folder)


def _quota(group: Path) -> Iterator[float]:
    """Quota divided by period, in microseconds: one file in cgroups version 2, two files in version 1."""
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        yield int(quota) / int(period)  # "max", no limit, raises ValueError
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
