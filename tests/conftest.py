"""Golden texts: plain files, compared to the letter and rewritten where UPDATE_GOLDEN=1."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def golden() -> Callable[[Path, str], None]:
    """Compares a text with a file, or writes it there where UPDATE_GOLDEN=1."""
    return compared


def compared(path: Path, text: str) -> None:
    """Assert that the file holds the text, or write it there where UPDATE_GOLDEN=1."""
    whole = text.rstrip("\n") + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(whole, encoding="utf-8")
    assert path.is_file(), f"{path} is missing; UPDATE_GOLDEN=1 writes it"
    assert whole == path.read_text(encoding="utf-8")
