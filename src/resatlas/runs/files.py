"""Small files written so that a crash leaves the old one or the new one, never half of it."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

from resatlas.errors import FolderError, quoted

_DRAFT = re.compile(r"\.[a-z]+\.[a-z]+\.\d+")
"""A file in the making: a point, its name, the process that makes it."""


def write_text(file: Path, text: str) -> None:
    """Replace the file in one step."""
    _replace(file, lambda draft: draft.write_text(text, encoding="utf-8", newline=""))


def write_bytes(file: Path, content: bytes) -> None:
    """Replace the file in one step."""
    _replace(file, lambda draft: draft.write_bytes(content))


def write_json(file: Path, value: object) -> None:
    """Replace the file by the JSON of a value."""
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256_of(file: Path) -> str:
    """The sha256 of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_json(file: Path) -> Any:  # noqa: ANN401 - JSON is what JSON is
    """The value of a JSON file.

    Raises: FolderError if it is missing, not JSON, or says something twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise FolderError(f"{file}: key {quoted(key)} is given twice")
            found[key] = value
        return found

    try:
        return json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=once)
    except OSError as error:
        raise FolderError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    except (ValueError, RecursionError):
        raise FolderError(f"{file}: not valid JSON") from None


def append_line(file: Path, row: Mapping[str, object]) -> None:
    """Add one row to a file of JSON lines, on the disk before anything that is written after it."""
    begun = file.exists()
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        sync(file)
        if not begun:
            sync(file.parent)  # its name
    except OSError as error:
        raise _named(error, file) from None


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; a last line that was cut off before its end is passed over.

    Raises: FolderError if it is no text, or a whole line is no row.
    """
    if not file.exists():
        return
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        raise FolderError(f"{file}: not valid JSON lines") from None
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield row
        elif line.endswith("\n"):
            raise FolderError(f"{file}: line {number} is no row of JSON")


def write_csv(file: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Replace the file by a table whose text cells no spreadsheet takes for formulas."""
    write_text(file, csv_text(head, rows))


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV whose text cells no spreadsheet takes for formulas."""
    table = [head, *([_harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)]
    return "".join(map(_csv_line, table))


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        write(draft)
        sync(draft)
        draft.replace(file)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise _named(error, file) from None


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _named(error: OSError, file: Path) -> OSError:
    """The error with the file that it is about: a full disk does not say it."""
    return type(error)(error.errno, error.strerror, str(file))


def sweep(folder: Path) -> None:
    """Remove the drafts that a crash left in a folder which no other process writes to."""
    for draft in folder.glob(".*"):
        if _DRAFT.fullmatch(draft.name):
            draft.unlink(missing_ok=True)


def _csv_line(row: Sequence[object]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(row)  # so that lone returns in cells are quoted too
    return line.getvalue().removesuffix("\r\n") + "\n"


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
