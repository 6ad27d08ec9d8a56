"""Cores are those of the affinity, as far as the quotas of all groups allow."""

import os
from pathlib import Path

import pytest

from resatlas.values import cores
from resatlas.values.cores import quotas


def group(folder: Path, **files: str) -> None:
    """A group of processes with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".", 1)).write_text(text)


def test_every_group_above_may_limit(tmp_path: Path) -> None:
    """One file in version 2, two in version 1; without a limit or a file there is no quota."""
    own = tmp_path / "own"
    own.write_text("4:memory:/a\n3:cpu,cpuacct:/old\n0::/a/b\n")
    groups = tmp_path / "groups"
    group(groups, cpu__max="max 100000")
    group(groups / "a", cpu__max="250000 100000")
    group(groups / "a" / "b", cpu__max="400000 100000")
    group(groups / "cpu" / "old", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    group(groups / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert sorted(quotas(own, groups)) == [1.5, 2.5, 4.0]
    assert list(quotas(tmp_path / "none", groups)) == []


@pytest.mark.parametrize(("limits", "expected"), [([], 4), ([2.5], 2), ([0.5], 1), ([64.0], 4)])
def test_a_part_of_a_core_does_not_count(monkeypatch: pytest.MonkeyPatch, limits: list[float], expected: int) -> None:
    """And one is always there."""

    def four(_pid: int) -> set[int]:
        return {0, 1, 2, 3}

    monkeypatch.setattr(os, "sched_getaffinity", four)
    monkeypatch.setattr(cores, "quotas", lambda: iter(limits))
    assert cores.cores() == expected
