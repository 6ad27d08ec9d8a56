"""Atomic writing of files in run folders and elsewhere, and reading of their JSON.

Whatever a crash interrupts, the old file or the new one is there, never half of it. A new file begins as a draft of a
random name, made by this process alone. `within` is the folder inside which a file has to be a real one: no link on the
way from there is followed, neither a folder nor the file itself, so a folder of someone else's making cannot lead a
write or a deletion to other places. Names that are not UTF-8 are escaped here as JSON does it, and nowhere else.
"""

import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

from resatlas.errors import FolderError, quoted
from resatlas.values.reading import MOST, content, opened

_DRAFT = re.compile(r"\..+\.[0-9a-f]{16}\.draft|\.[a-z]+\.[a-z]+\.\d+", re.DOTALL)
"""The name of a draft: a dot, the name, random digits; in earlier versions the id of its process."""

_LONGEST_NAME = 120
"""Bytes of a file's name that its draft repeats: with what is added, a file system still takes it."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
ADDED = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write_text(file: Path, text: str, *, within: Path | None = None) -> None:
    """Replace the file in one step; bytes of names that are not UTF-8 become JSON escapes.

    Raises: OSError; FolderError as `write_bytes`.
    """
    write_bytes(file, text.encode("utf-8", errors="backslashreplace"), within=within)


def write_bytes(file: Path, content: bytes, *, within: Path | None = None) -> None:
    """Replace the file in one step. Without `within` the path to its folder may contain links.

    Raises: OSError, with the file's name; FolderError if something else than a file stands in its place, or if a link
        leads from `within` to it.
    """
    try:
        with _folder(file.parent, within or file.parent) as folder:
            _check_target(file, folder, links=within is None)
            _replace(file.name, content, folder)
    except OSError as error:
        raise _named(error, file) from None


def write_json(file: Path, value: object, *, within: Path | None = None) -> None:
    """Replace the file by the JSON of a value.

    Raises: as `write_text`.
    """
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n", within=within)


def write_csv(file: Path, head: Sequence[str], rows: Iterable[Sequence[object]], *, within: Path | None = None) -> None:
    """Replace the file by a table whose text cells are not read as formulas by spreadsheets.

    Raises: as `write_text`.
    """
    write_text(file, csv_text(head, rows), within=within)


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV whose text cells are not read as formulas by spreadsheets."""
    lines = ([_harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return "".join(map(_csv_line, chain([head], lines)))


def append_line(file: Path, row: Mapping[str, object], *, within: Path | None = None) -> None:
    """Add one row to a file of JSON lines, on the disk before anything that is written after it.

    Raises: as `write_text`.
    """
    try:
        with _folder(file.parent, within or file.parent) as folder:
            begun = _check_target(file, folder, links=False)
            handle = os.open(file.name, ADDED, 0o666, dir_fd=folder)
            try:
                _write_all(handle, (json.dumps(row) + "\n").encode())
                os.fsync(handle)
            finally:
                os.close(handle)
            if not begun:
                os.fsync(folder)  # its name
    except OSError as error:
        raise _named(error, file) from None


def make_folder(folder: Path, *, within: Path) -> None:
    """Create a folder if it is missing.

    Raises: OSError; FolderError if something else stands in its place, or if a link leads to it.
    """
    try:
        with _folder(folder.parent, within) as parent, suppress(FileExistsError):
            os.mkdir(folder.name, dir_fd=parent)
        with _folder(folder, within):
            pass
    except OSError as error:
        raise _named(error, folder) from None


def remove(path: Path, *, within: Path) -> None:
    """Remove a file or a folder with all that it holds, as far as the system allows; of a link nothing but itself.

    Raises: FolderError if a link leads from `within` to where it lies.
    """
    with suppress(OSError), _folder(path.parent, within) as parent:
        if stat.S_ISDIR(os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode):
            shutil.rmtree(path.name, ignore_errors=True, dir_fd=parent)
        else:
            os.unlink(path.name, dir_fd=parent)


def sweep(folder: Path) -> None:
    """Remove the drafts of files that a crash left in a folder which no other process writes to."""
    for draft in sorted(folder.iterdir()):
        if _DRAFT.fullmatch(draft.name):
            remove(draft, within=folder)


@contextmanager
def drafted(target: Path, *, within: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A new folder with a random name that becomes the target at the end, after fsync; at an error it is removed.

    `check` is called at the last moment before, and may raise an error.
    Raises: OSError; FolderError if a link leads from `within` to where it lies.
    """
    with _folder(target.parent, within) as parent:
        name = f".tmp-{_shortened(target.name)}-{token_hex(8)}"
        os.mkdir(name, dir_fd=parent)
        draft = target.with_name(name)
        try:
            yield draft
            for file in sorted(draft.iterdir()):
                sync(file)
            sync(draft)
            check()
            os.rename(name, target.name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)
        except BaseException:  # a signal too
            shutil.rmtree(name, ignore_errors=True, dir_fd=parent)
            raise


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(file: Path) -> str:
    """The sha256 of a regular file's content.

    Raises: OSError
    """
    with opened(file) as source:
        return hashlib.file_digest(cast("io.BufferedReader", source), "sha256").hexdigest()


def read_json(file: Path, *, most: int = MOST) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a JSON file of at most `most` bytes.

    Raises: FolderError if it is missing, not a regular file, too large, not JSON, or has a key twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                raise FolderError(f"{file}: key {quoted(key)} is given twice")
            table[key] = value
        return table

    try:
        return json.loads(content(file, most=most).decode("utf-8"), object_pairs_hook=once)
    except OSError as error:
        raise FolderError(f"{file}: {_reason(error)}") from None
    except (ValueError, RecursionError):
        raise FolderError(f"{file}: not valid JSON") from None


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; an incomplete last line is ignored.

    Raises: FolderError if it is no regular file, no text, or a whole line is no row.
    """
    for number, line in enumerate(lines_of(file), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield row
        elif line.endswith("\n"):
            raise FolderError(f"{file}: line {number} is not a row of JSON")


def lines_of(file: Path) -> list[str]:
    """The lines of a file of JSON lines with their ends; none if the file is missing.

    Raises: FolderError if it is no regular file or no text.
    """
    try:
        return content(file).decode("utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FolderError(f"{file}: {_reason(error)}") from None
    except UnicodeDecodeError:
        raise FolderError(f"{file}: not valid JSON lines") from None


def escaped(name: str) -> str:
    """A name as `write_text` writes it."""
    return name.encode("utf-8", errors="backslashreplace").decode("utf-8")


@contextmanager
def _folder(folder: Path, within: Path) -> Iterator[int]:
    """The folder, open, reached from `within` through no link.

    Raises: OSError; FolderError for a link or something else than a folder on the way.
    """
    try:
        parts = folder.relative_to(within).parts
    except ValueError:
        raise FolderError(f"{folder} does not lie in {within}") from None
    if ".." in parts:
        raise FolderError(f"{folder} does not lie in {within}")
    handle, place = os.open(within, FOLDER), within
    try:
        for part in parts:
            place = place / part
            try:
                inner = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise FolderError(f"{place} is a link or a file; {_REAL}") from None
                raise
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


_REAL = "only real files and folders inside a run are written, replaced or removed"


def _check_target(file: Path, folder: int, *, links: bool) -> bool:
    """Whether there is a file in the target's place already, which may be replaced; links may where `links` says so.

    Raises: FolderError
    """
    try:
        mode = os.stat(file.name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(mode) and not links:
        raise FolderError(f"{file} is a link; {_REAL}")
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise FolderError(f"{file} cannot be written: {kind} stands in its place")
    return True


def _replace(name: str, content: bytes, folder: int) -> None:
    draft = f".{_shortened(name)}.{token_hex(8)}.draft"
    try:
        handle = os.open(draft, NEW, 0o666, dir_fd=folder)
        try:
            _write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        raise


def _write_all(handle: int, content: bytes) -> None:
    """Write all bytes; one call of the system may write only a part."""
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]


def _shortened(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:_LONGEST_NAME])


def _named(error: OSError, file: Path) -> OSError:
    """The error with its file, which the error of a full disk lacks."""
    return type(error)(error.errno, error.strerror, str(file))


def _reason(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()


def _csv_line(row: Sequence[object]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(row)  # so that lone returns in cells are quoted too
    return line.getvalue().removesuffix("\r\n") + "\n"


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
