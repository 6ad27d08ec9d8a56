"""Download missing files of data sets from their publishers; files are verified before they are read."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resatlas.data import cifar, fashion_mnist, svhn
from resatlas.data.archives import Limits, extract
from resatlas.data.official import Official, Source, by_hand, check, folders, located, present_file
from resatlas.errors import DataError, FolderError
from resatlas.values import downloading
from resatlas.values.downloading import NotFetched, Remote, locked, writable
from resatlas.values.progress import Progress

_SETTING = "RESATLAS_DATA"
"""The environment variable that names another folder."""

_MEMBERS = 100  # the largest number of files in an archive; CIFAR's archives have fewer than ten
_UNREAD = 1 << 20  # the largest number of bytes of an archive in files that are not read


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The names of the files downloaded now, and the paths of all files to read."""

    names: tuple[str, ...]
    paths: tuple[Path, ...]


def fetch(source: Source, *, progress: Progress) -> Fetched:
    """Download missing files of a data set, and verify the present ones.

    Raises: DataError if a download fails or a file is not the official one; FolderError if it cannot be stored; Stopped
        by Ctrl-C, after which the next call continues.
    """
    names: tuple[str, ...] = ()
    if _missing(source):
        folder = folders(source.folder)[0]
        with writable(folder, setting=_SETTING), locked(folder):
            names = tuple(get(official, source, folder, progress=progress) for official in _missing(source))
    paths = located(source)
    for official in source.files:
        if official.name not in names and (path := present_file(source, official.name)):
            check(path, official)
    return Fetched(names=names, paths=paths)


def _missing(source: Source) -> tuple[Official, ...]:
    """The official files that must be downloaded."""
    if source.members:
        return () if all(present_file(source, path) for path in source.needed) else source.files
    return tuple(file for file in source.files if not present_file(source, file.name))


def get(official: Official, source: Source, folder: Path, *, progress: Progress) -> str:
    """Download a file into the folder, unpack it if it is an archive, and return its name.

    An archive that the user placed there is used and kept; a downloaded archive is removed.

    Raises: as `fetch`.
    """
    present = present_file(source, official.name)
    part = present or folder / f"{official.name}.part"
    _check_room(folder, official, _unpacked(source) + (0 if present else official.bytes - size(part)))
    if present:
        check(present, official)
    else:
        _obtain(official, part, progress=progress)
    if source.members:
        extract(part, folder / _top(source), limits=Limits(members=_MEMBERS, bytes=_unpacked(source)))
        if not present:
            part.unlink()
    else:
        part.rename(folder / official.name)
    return official.name


def _obtain(official: Official, part: Path, *, progress: Progress) -> None:
    """Complete the download `part`; remove it if it is not the official file.

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
        raise DataError(f"{error}; it is removed: rerun the command later") from None


def _check_room(folder: Path, official: Official, need: int) -> None:
    """Check that the disk of a folder has enough free bytes.

    Raises: FolderError.
    """
    free = shutil.disk_usage(folder).free
    if free < need:
        raise FolderError(
            f"{folder} has {free:,} bytes free, but {official.name} needs {need:,}; set {_SETTING} to another folder"
        )


def size(file: Path) -> int:
    """Bytes of a file, 0 if it does not exist."""
    return file.stat().st_size if file.exists() else 0


def _unpacked(source: Source) -> int:
    """The largest size of an unpacked archive: little more than its files to read; 0 if there is no archive."""
    return sum(member.bytes or 0 for member in source.members) + _UNREAD if source.members else 0


def _top(source: Source) -> str:
    """The top folder of an archive."""
    return source.members[0].path.partition("/")[0]


def download(official: Official, part: Path, *, progress: Progress) -> None:
    """Append the missing bytes of the official file to `part`; they are kept if the connection ends early.

    Raises: DataError if the server cannot be reached, refuses, ends early or has another file; Stopped by Ctrl-C.
    """
    try:
        downloading.download(Remote(name=official.name, url=official.url, bytes=official.bytes), part, progress)
    except NotFetched as error:
        raise DataError(str(error)) from None


SOURCES: dict[str, Callable[[], Source]] = {
    "cifar-10": lambda: cifar.CIFAR_10.source,
    "cifar-100": lambda: cifar.CIFAR_100.source,
    "fashion-mnist": fashion_mnist.source,
    "svhn": partial(svhn.source, extra=1),
    "svhn:extra=0": partial(svhn.source, extra=0),
}
