"""Download missing files of data sets from their publishers; files are verified before they are read."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
    getproxies,
)

from resatlas.data import cifar, fashion_mnist, svhn
from resatlas.data.archives import Limits, extract
from resatlas.data.official import Official, Source, by_hand, check, folders, located, present_file
from resatlas.errors import DataError, FolderError, Stopped
from resatlas.values.progress import Progress

_BLOCK = 1 << 20  # the largest number of bytes read at a time
SECONDS = 30  # timeout of a server that sends nothing

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
        with kept(folder), _locked(folder):
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
            f"{folder} has {free:,} bytes free, but {official.name} needs {need:,}; set RESATLAS_DATA to another folder"
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


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Create a folder, and turn errors of the system within the context into a FolderError.

    Raises: FolderError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise FolderError(f"files cannot be written to {folder}: {why}; set RESATLAS_DATA to another folder") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder against downloads of other processes; the system releases the lock at the end of the process.

    Raises: FolderError if another process has the lock.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FolderError(f"another process downloads to {folder}; rerun the command when it has ended") from None
    finally:
        os.close(handle)


def opener() -> OpenerDirector:
    """An opener for https only, also for redirections."""
    director = OpenerDirector()
    secure = {scheme: proxy for scheme, proxy in getproxies().items() if scheme == "https"}
    for handler in (
        ProxyHandler(secure),
        HTTPSHandler(),
        HTTPRedirectHandler(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def download(official: Official, part: Path, *, progress: Progress) -> None:
    """Append the missing bytes of the official file to `part`; they are kept if the connection ends early.

    Raises: DataError if the server cannot be reached, refuses, ends early or has another file; Stopped by Ctrl-C.
    """
    with part.open("ab") as file:
        if file.tell() > official.bytes:
            file.truncate(0)
        done = file.seek(0, 2)
        try:
            for position, block in _arriving(official, start=done) if done < official.bytes else ():
                if position != done:  # the server starts from the beginning
                    file.truncate(position)
                file.write(block)
                done = position + len(block)
                progress(official.name, done, official.bytes)
        except KeyboardInterrupt:
            raise Stopped(
                f"{done:,} of {official.bytes:,} bytes of {official.name} are in {part}; rerun the command to continue"
            ) from None
    if done < official.bytes:
        raise _unfetched(official, f"the connection ended at {done:,} of {official.bytes:,} bytes, which are kept")


def _arriving(official: Official, *, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield (position, bytes) of the download, from `start` if the server supports it, else from the beginning.

    Raises: DataError as `download`.
    """
    request = Request(official.url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 - https only
    try:
        with opener().open(request, timeout=SECONDS) as answer:
            response = cast("HTTPResponse", answer)
            position = _beginning(response, official, start=start)
            while block := response.read1(_BLOCK):
                if position + len(block) > official.bytes:
                    raise _unfetched(official, f"the server sends more than the published {official.bytes:,} bytes")
                yield position, block
                position += len(block)
    except HTTPError as error:
        error.close()
        if error.code != 416 or start == 0:  # 416: the server has no bytes from `start`
            raise _unfetched(official, f"the server answers {error.code} {error.reason}") from None
        yield from _arriving(official, start=0)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an invalid address or number
        raise _unfetched(official, reason(error)) from None


def _beginning(response: HTTPResponse, official: Official, *, start: int) -> int:
    """The position of the first byte of a response.

    Raises: DataError if it is not what was asked for, or the rest is not as long as was published.
    """
    position = start if response.status == 206 else 0
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise _unfetched(official, "the server answers with other bytes than were asked for")
    length = response.length
    if length is not None and position + length != official.bytes:
        raise _unfetched(official, f"{position + length:,} bytes are there, {official.bytes:,} were published")
    return position


def _unfetched(official: Official, why: str) -> DataError:
    """The error of a file that does not come."""
    return DataError(f"{official.url} cannot be fetched: {why}; rerun the command later")


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    inner = error.reason if isinstance(error, URLError) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


SOURCES: dict[str, Callable[[], Source]] = {
    "cifar-10": lambda: cifar.CIFAR_10.source,
    "cifar-100": lambda: cifar.CIFAR_100.source,
    "fashion-mnist": fashion_mnist.source,
    "svhn": partial(svhn.source, extra=1),
    "svhn:extra=0": partial(svhn.source, extra=0),
}
