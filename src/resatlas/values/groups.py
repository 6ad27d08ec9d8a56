"""The control groups of this process on Linux: folders whose files have its limits. Source: cgroups(7)."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

GROUPS = Path("/sys/fs/cgroup")

OWN = Path("/proc/self/cgroup")
"""The groups of this process, one per line: number, controllers, path."""


def group_folders(controller: str, *, own: Path = OWN, groups: Path = GROUPS) -> Iterator[Path]:
    """The folders of the groups of this process that a controller may limit, from its own group up to the root."""
    with suppress(OSError, ValueError):  # only Linux has these files
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = groups / controller if controllers else groups
            inside = PurePosixPath(path)
            for above in (inside, *inside.parents):
                yield top / above.relative_to(inside.anchor or ".")
