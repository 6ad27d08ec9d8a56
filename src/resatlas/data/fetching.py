"""Data sets fetched: whatever is missing comes from where it is published, and nothing is read before it is checked."""

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
from resatlas.data.official import Official, Source, by_hand, check, folders, located, lying
from resatlas.errors import DataError, FolderError, Stopped
from resatlas.values.progress import Progress

BLOCK = 1 << 20  # bytes taken at a time, at most
SECONDS = 30  # of silence, after which a server counts as gone

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


def opener() -> OpenerDirector:
    """An opener that knows https and nothing else, also where a server sends it elsewhere."""
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
    """Adds to `part` what it lacks of the official file; whatever arrived stays there if it breaks off.

    Raises: DataError if the server is not reached, refuses, breaks off or has another file; Stopped by Ctrl-C.
    """
    with part.open("ab") as file:
        if file.tell() > official.bytes:
            file.truncate(0)
        done = file.seek(0, 2)
        try:
            for position, block in arriving(official, start=done) if done < official.bytes else ():
                if position != done:  # the server began anew
                    file.truncate(position)
                file.write(block)
                done = position + len(block)
                progress(official.name, done, official.bytes)
        except KeyboardInterrupt:
            raise Stopped(
                f"{done:,} of {official.bytes:,} bytes of {official.name} are in {part}; say the same again to go on"
            ) from None
    if done < official.bytes:
        raise unfetched(official, f"the connection ended at {done:,} of {official.bytes:,} bytes, which are kept")


def arriving(official: Official, *, start: int) -> Iterator[tuple[int, bytes]]:
    """(position, bytes) of all that comes: from `start` on where the server can, else from the beginning.

    Raises: DataError as `download`.
    """
    request = Request(official.url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 - https alone
    try:
        with opener().open(request, timeout=SECONDS) as answer:
            response = cast("HTTPResponse", answer)
            position = beginning(response, official, start=start)
            while block := response.read1(BLOCK):
                if position + len(block) > official.bytes:
                    raise unfetched(official, f"more comes than the {official.bytes:,} bytes that were published")
                yield position, block
                position += len(block)
    except HTTPError as error:
        error.close()
        if error.code != 416 or start == 0:  # 416: it has nothing from `start` on
            raise unfetched(official, f"the server answers {error.code} {error.reason}") from None
        yield from arriving(official, start=0)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an address or a number that is none
        raise unfetched(official, reason(error)) from None


def beginning(response: HTTPResponse, official: Official, *, start: int) -> int:
    """The position of the first byte of a response.

    Raises: DataError if it is not what was asked for, or the rest is not as long as was published.
    """
    position = start if response.status == 206 else 0
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise unfetched(official, "the server answers with other bytes than were asked for")
    length = response.length
    if length is not None and position + length != official.bytes:
        raise unfetched(official, f"{position + length:,} bytes are there, {official.bytes:,} were published")
    return position


def unfetched(official: Official, why: str) -> DataError:
    """The error of a file that does not come."""
    return DataError(f"{official.url} cannot be fetched: {why}; say the same again later")


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
