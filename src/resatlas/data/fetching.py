"""Data sets fetched: whatever is missing comes from where it is published, and nothing is read before it is checked."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resatlas.data import cifar, fashion_mnist, svhn
from resatlas.data.archives import Limits, extract
from resatlas.data.downloads import download
from resatlas.data.official import Official, Source, check
from resatlas.data.places import by_hand, folders, located, lying
from resatlas.errors import DataError, FolderError
from resatlas.values.progress import Progress

MEMBERS = 100  # of an archive at most; those of CIFAR have fewer than ten
UNREAD = 1 << 20  # bytes of an archive that may be in files that nobody reads


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The names of the files that were got now, and where everything lies that is read."""

    names: tuple[str, ...]
    paths: tuple[Path, ...]


def fetch(source: Source, *, progress: Progress) -> Fetched:
    """Gets what is missing of a data set, and checks what is not.

    Raises: DataError if a file does not come or is not the official one; FolderError if it cannot be kept; Stopped by
        Ctrl-C, after which the next call goes on.
    """
    names: tuple[str, ...] = ()
    if missing(source):
        folder = folders(source.folder)[0]
        with kept(folder), locked(folder):
            names = tuple(get(official, source, folder, progress=progress) for official in missing(source))
    paths = located(source)
    for official in source.files:
        if official.name not in names and (path := lying(source, official.name)):
            check(path, official)
    return Fetched(names=names, paths=paths)


def missing(source: Source) -> tuple[Official, ...]:
    """The official files without which something that is read is not there."""
    if source.members:
        return () if all(lying(source, path) for path in source.needed) else source.files
    return tuple(file for file in source.files if not lying(source, file.name))


def get(official: Official, source: Source, folder: Path, *, progress: Progress) -> str:
    """The name of a file that is now in the folder, unpacked if it is an archive.

    An archive that somebody put where the data set may lie is used, and stays; one that was fetched goes.

    Raises: as `fetch`.
    """
    given = lying(source, official.name)
    part = given or folder / f"{official.name}.part"
    check_room(folder, official, unpacked(source) + (0 if given else official.bytes - size(part)))
    if given:
        check(given, official)
    else:
        obtain(official, part, progress=progress)
    if source.members:
        extract(part, folder / top(source), limits=Limits(members=MEMBERS, bytes=unpacked(source)))
        if not given:
            part.unlink()
    else:
        part.rename(folder / official.name)
    return official.name


def obtain(official: Official, part: Path, *, progress: Progress) -> None:
    """Completes `part`; if it then is another file than the official one, it is removed.

    Raises: as `fetch`.
    """
    try:
        download(official, part, progress=progress)
    except DataError as error:
        if size(part) == 0:
            part.unlink()
        raise DataError(f"{error}, or {by_hand((official,), part.parent)}") from None
    try:
        check(part, official)
    except DataError as error:
        part.unlink()
        raise DataError(f"{error}; it is removed: say the same again later") from None


def check_room(folder: Path, official: Official, need: int) -> None:
    """Refuses a folder whose disk has not the bytes that are needed.

    Raises: FolderError.
    """
    free = shutil.disk_usage(folder).free
    if free < need:
        raise FolderError(
            f"{folder} has {free:,} bytes free, and {official.name} needs {need:,}; RESATLAS_DATA names another folder"
        )


def size(file: Path) -> int:
    """Bytes of a file, 0 if it is not there."""
    return file.stat().st_size if file.exists() else 0


def unpacked(source: Source) -> int:
    """Bytes that an archive may unpack to: little more than is read of it; 0 where there is none."""
    return sum(member.bytes or 0 for member in source.members) + UNREAD if source.members else 0


def top(source: Source) -> str:
    """The folder that an archive has at its top."""
    return source.members[0].path.partition("/")[0]


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Makes a folder, and says in words why something cannot be kept there.

    Raises: FolderError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise FolderError(f"{folder} cannot keep the files: {why}; RESATLAS_DATA names another folder") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from fetching to the folder, for as long as this one lives at most.

    Raises: FolderError if one does.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FolderError(f"another process fetches to {folder} now; say the same again when it has ended") from None
    finally:
        os.close(handle)


SOURCES: dict[str, Callable[[], Source]] = {
    "cifar-10": lambda: cifar.CIFAR_10.source,
    "cifar-100": lambda: cifar.CIFAR_100.source,
    "fashion-mnist": fashion_mnist.source,
    "svhn": partial(svhn.source, extra=1),
    "svhn:extra=0": partial(svhn.source, extra=0),
}
