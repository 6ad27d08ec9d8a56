"""Listing of image folders in the order of bytes; links are followed, and no folder is listed twice."""

import os
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from resatlas.errors import DataError, quoted

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp")
"""Name endings of images that are read, in any case."""

UNREAD = (
    *(".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ico", ".ppm", ".pgm", ".pbm", ".tga"),
    *(".psd", ".svg", ".exr", ".hdr", ".dcm", ".nii", ".npy", ".dng", ".cr2", ".nef", ".arw"),
)
"""Name endings of images that are not read, but reported."""

Kind = Literal["image", "other", "again", "closed"]


class Found(NamedTuple):
    """A file with its kind, a folder that is already listed under another name, or one that cannot be listed."""

    name: str
    kind: Kind


def printable(name: str | Path) -> str:
    """The name on one line, with Python's escapes for unprintable characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def composed(name: str) -> str:
    """The name in composed Unicode, in which equal letters have equal codes; Apple's systems decompose them.

    Source: Unicode Standard Annex 15, Normalization Form C.
    """
    return unicodedata.normalize("NFC", name)


def with_code_points(name: str) -> str:
    """The name in quotes, with its code points if it has letters beyond ASCII."""
    letters = " ".join(f"U+{ord(c):04X}" for c in name if not c.isascii())
    return quoted(printable(name)) + (f" ({letters})" if letters else "")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The names sorted by their bytes."""
    return tuple(sorted(names, key=os.fsencode))


def is_image(name: str) -> bool:
    """Whether the name has an ending of images, in any case."""
    return name.lower().endswith(ENDINGS)


def is_line(name: str) -> bool:
    """Whether the name is UTF-8 without control characters, so that it fits in a table."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)


def is_directory(path: Path) -> bool:
    """Whether a folder of that name exists; False for a name that the system refuses."""
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, or a parent folder without permission
        return False


def contents(folder: Path) -> tuple[list[str], list[str]]:
    """(files, folders) in a folder, by name, without hidden ones.

    Raises: DataError if the folder cannot be listed.
    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = str(getattr(error, "strerror", error)).lower()
        raise DataError(f"{printable(folder)} cannot be listed: {reason}") from None
    return files, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder or links to one; links with an ending of images are not followed, to save time."""
    try:
        return entry.is_dir(follow_symlinks=not is_image(entry.name))
    except OSError:  # a link to itself
        return False


def below(folder: Path, *, apart_from: Iterable[Path] = ()) -> tuple[Found, ...]:
    """All entries below the folder, with relative names, in the order of bytes.

    A folder with several names is entered under one of them: the one with the fewest parents, then the first.
    Folders in `apart_from` are not entered.
    """
    return tuple(sorted(_walk(folder, apart_from), key=lambda entry: os.fsencode(entry.name)))


def _walk(folder: Path, apart_from: Iterable[Path]) -> Iterator[Found]:
    """The entries, breadth first; the files of a folder before its folders."""
    entered = {_identity(path) for path in apart_from}
    waiting = deque([""])
    while waiting:
        inner = waiting.popleft()
        try:
            here = _identity(folder / inner)
            if here in entered:
                yield Found(inner, "again")
                continue
            files, folders = contents(folder / inner)
        except (DataError, OSError):
            yield Found(inner, "closed")
            continue
        entered.add(here)
        prefix = inner and f"{inner}/"
        for name in files:
            yield Found(prefix + name, "image" if is_image(name) else "other")
        waiting.extend(prefix + name for name in in_order(folders))


def _identity(folder: Path) -> tuple[int, int]:
    """The device and inode of a folder, shared by every link to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino
