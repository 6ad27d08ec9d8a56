"""What all tests share: shapes that are checked, files that reach no disk, and golden texts.

A golden text is a plain file, compared to the letter and rewritten where UPDATE_GOLDEN=1.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests.disk import unsynchronised

SOURCE = Path(__file__).parents[1] / "src"
CHECKED = ("nets", "weights", "inference", "audit", "data", "evaluation")
"""Rooms whose modules that annotate shapes are checked at every call; `training` is not, since it is compiled."""

install_import_hook(
    [
        ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        for room in CHECKED
        for file in sorted((SOURCE / "resatlas" / room).rglob("*.py"))
        if "from jaxtyping import" in file.read_text(encoding="utf-8")
    ],
    "beartype.beartype",
)


@pytest.fixture(scope="session", autouse=True)
def _unsynchronised() -> Iterator[None]:
    """No test waits for the disk; the tests of the order of writing put an `fsync` of their own in its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", unsynchronised)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of clusters begin first: they wait for most of their time, and one worker has to run them in turn."""
    items.sort(key=lambda item: "cluster" not in item.path.parts)


@pytest.fixture
def golden() -> Callable[[Path, str], None]:
    """Compares a text with a file, or writes it there where UPDATE_GOLDEN=1."""
    return compared


@pytest.fixture
def golden_data() -> Callable[[Path, str], None]:
    """As `golden`, for data with all digits: the last ones depend on the machine, so numbers may differ by rounding."""
    return compared_data


def compared(path: Path, text: str) -> None:
    """Assert that the file holds the text, or write it there where UPDATE_GOLDEN=1."""
    assert text.rstrip("\n") + "\n" == _kept(path, text)


def compared_data(path: Path, text: str) -> None:
    """Assert that the file holds the text with these numbers, or write it there where UPDATE_GOLDEN=1."""
    kept = _kept(path, text)
    assert NUMBER.split(text.rstrip("\n") + "\n") == NUMBER.split(kept)
    assert [*map(float, NUMBER.findall(text))] == pytest.approx([*map(float, NUMBER.findall(kept))], rel=1e-9)


NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?|-?\d+e[+-]\d+")


def _kept(path: Path, text: str) -> str:
    """The text of the file, which is written anew where UPDATE_GOLDEN=1."""
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    assert path.is_file(), f"{path} is missing; UPDATE_GOLDEN=1 writes it"
    return path.read_text(encoding="utf-8")
