"""Listing of image folders: in the order of bytes, whatever the locale; links followed, no folder twice."""

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
    """A file by its ending, a folder that was already listed under another name, or one that cannot be listed."""

    name: str
    kind: Kind


def shown(name: str | Path) -> str:
    """The name on one line, with escapes of Python for what cannot be printed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def composed(name: str) -> str:
    """The name in composed Unicode, in which letters that look alike are alike: systems of Apple take them apart.

    Source: Unicode Standard Annex 15, Normalization Form C.
    """
    return unicodedata.normalize("NFC", name)


def with_code_points(name: str) -> str:
    """The name in quotes, and its code points where it has letters beyond ASCII."""
    letters = " ".join(f"U+{ord(c):04X}" for c in name if not c.isascii())
    return quoted(shown(name)) + (f" ({letters})" if letters else "")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The names sorted by their bytes."""
    return tuple(sorted(names, key=os.fsencode))


def is_image(name: str) -> bool:
    """Whether the name ends as that of an image, in any case."""
    return name.lower().endswith(ENDINGS)


def is_line(name: str) -> bool:
    """Whether the name is UTF-8 without control characters, so that it can stand in a table."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)


def is_directory(path: Path) -> bool:
    """Whether a folder of that name exists; False for a name that the system refuses."""
    try:
        return path.is_dir()
    except OSError:  # a name too long, a folder closed on the way
        return False


def contents(folder: Path) -> tuple[list[str], list[str]]:
    """(files, folders) in a folder, by name; what is hidden is left out.

    Raises: DataError if the folder cannot be listed.
    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if is_folder(entry) else files).append(entry.name)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise DataError(f"{shown(folder)} cannot be listed: {getattr(error, 'strerror', error)}") from None
    return files, folders


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder or links to one; a link that ends as an image is not followed, which costs time."""
    try:
        return entry.is_dir(follow_symlinks=not is_image(entry.name))
    except OSError:  # a link to itself
        return False


def below(folder: Path, *, apart_from: Iterable[Path] = ()) -> tuple[Found, ...]:
    """Everything below the folder, named from there, in the order of its bytes.

    A folder with several names is entered under one of them: that with the fewest folders on the way, then the first.
    Those that are apart are not entered at all.
    """
    return tuple(sorted(walk(folder, apart_from), key=lambda entry: os.fsencode(entry.name)))


def walk(folder: Path, apart_from: Iterable[Path]) -> Iterator[Found]:
    """The same, breadth first; the files of a folder before its folders."""
    entered = {identity(path) for path in apart_from}
    waiting = deque([""])
    while waiting:
        inner = waiting.popleft()
        try:
            here = identity(folder / inner)
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


def identity(folder: Path) -> tuple[int, int]:
    """The device and inode of a folder, shared by every link to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino
