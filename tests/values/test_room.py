"""The memory of the machine, as far as the groups of this process allow, and the disk of a folder."""

from pathlib import Path

import pytest

from resatlas.values.room import Room, disk_free, memory_room, resident_memory
from resatlas.values.text import duration_text, size_text

MEMORY = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\nHugePages_Total:   0\n"


def limited(folder: Path, **files: str) -> None:
    """A group with these files; two underscores stand for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".", 1)).write_text(text)


def test_the_lowest_limit_counts(tmp_path: Path) -> None:
    """The machine's memory, a container's limit above and one below; files in memory can be given back."""
    memory, own, groups = tmp_path / "meminfo", tmp_path / "own", tmp_path / "groups"
    memory.write_text(MEMORY)
    own.write_text("0::/a/b\n5:memory:/old\n")
    assert memory_room(memory, tmp_path / "none", groups) == Room(1_024_000, 614_400)
    limited(groups, memory__max="max", memory__current="900000")
    limited(groups / "a", memory__max="500000", memory__current="300000", memory__stat="anon 1\ninactive_file 100000\n")
    assert memory_room(memory, own, groups) == Room(500_000, 300_000)
    limited(groups / "memory" / "old", memory__limit_in_bytes="400000", memory__usage_in_bytes="390000")
    assert memory_room(memory, own, groups) == Room(400_000, 10_000)


def test_a_system_that_does_not_say_has_no_number(tmp_path: Path) -> None:
    """No file, or one of another form."""
    assert memory_room(tmp_path / "none") is None
    (tmp_path / "odd").write_text("MemTotal: many kB\n")
    assert memory_room(tmp_path / "odd") is None


def test_this_machine(tmp_path: Path) -> None:
    """The disk of a folder that does not exist yet is that of the nearest folder that does."""
    assert disk_free(tmp_path / "a" / "b" / "c") == pytest.approx(disk_free(tmp_path), rel=0.1)
    assert resident_memory() >= 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(9_556_302_234, "8.9 GiB"), (432_013_312, "412 MiB"), (3_100, "3 KiB"), (12, "12 bytes")],
)
def test_sizes_in_words(size: int, text: str) -> None:
    """Binary units, with one digit for the largest."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.123, "0.12 seconds"),
        (41, "41 seconds"),
        (89, "89 seconds"),
        (2_460, "41 minutes"),
        (18_720, "5.2 hours"),
        (250_560, "2.9 days"),
        (1_555_200, "18 days"),
    ],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    """The unit of which there are at least one and a half."""
    assert duration_text(seconds) == text
