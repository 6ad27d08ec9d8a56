"""Safe unpacking of archives: files and folders below one folder, limited in number and size, all or none."""

import gzip
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from resatlas.errors import DataError, FolderError, quoted
from resatlas.values.reading import opened

_BLOCK = 1 << 20  # bytes copied at a time
_OVERHEAD = 4096  # bytes of headers and padding that a member may have
_TRAILER = 10_240  # bytes of zeros that end an archive: one record of tar

# tarfile's filter="data" would replace none of the checks below: it passes links, sparse files and members that come
# twice, and bounds no size. Before Python 3.11.13, 3.12.11 and 3.13.4 links lead past it (CVE-2025-4517, -4138, -4330).
_REFUSED = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}

_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError)
"""Errors of a damaged archive; RecursionError for an endless chain of headers."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest number of members and of bytes of an archive."""

    members: int
    bytes: int


def extract(archive: Path, folder: Path, *, limits: Limits) -> None:
    """Unpack a tar.gz whose members all lie below a folder of that name, into that folder, in one step.

    Owners, modes and times in the archive are ignored.

    Raises: DataError if the archive is damaged or has anything but such files; FolderError if the folder exists
        and is not empty.
    """
    if folder.exists() and next(folder.iterdir(), None):
        raise FolderError(f"{folder} exists and is incomplete; remove it and rerun the command")
    draft = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(draft, ignore_errors=True)
    most = limits.bytes + limits.members * _OVERHEAD + _TRAILER
    try:
        (draft / folder.name).mkdir(parents=True)
        with opened(archive) as file, gzip.open(file) as content:
            stream = cast("IO[bytes]", Bounded(content, most=most))
            with tarfile.open(fileobj=stream, mode="r|") as tar:  # a stream, which is never read backward
                _unpack(tar, draft, top=folder.name, limits=limits)
            while stream.read(_BLOCK):  # to the end, where gzip stores a checksum
                pass
        (draft / folder.name).rename(folder)
    except (DataError, *_DAMAGE) as error:
        raise DataError(f"{archive} is damaged or refused: {str(error) or type(error).__name__}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack(tar: tarfile.TarFile, root: Path, *, top: str, limits: Limits) -> None:
    """Write every member to its path below `root`, which contains only an empty folder `top`.

    Raises: DataError if a member is refused; any error of `tarfile` if the archive is damaged.
    """
    left = limits.bytes
    for count, member in enumerate(tar, start=1):
        if count > limits.members:
            raise DataError(f"it has more than {limits.members:,} members")
        target = root.joinpath(_wanted(member, top))
        left -= member.size
        if left < 0:
            raise DataError(f"its members have more than {limits.bytes:,} bytes together")
        if not target.resolve().is_relative_to(root.resolve() / top):
            raise DataError(f"member {quoted(member.name)} leads out of {top}/")
        if member.isfile():
            _write(tar, member, target)


def _wanted(member: tarfile.TarInfo, top: str) -> PurePosixPath:
    """The path of a member that is a folder or a plain file below the folder `top`.

    Raises: DataError if it is anything else.
    """
    path = PurePosixPath(member.name)
    if ".." in path.parts or path.parts[:1] != (top,):
        raise DataError(f"member {quoted(member.name)} is not below {top}/")
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()  # isfile() takes sparse ones
    if not (plain or member.isdir()):
        raise DataError(f"member {quoted(member.name)} is {_REFUSED.get(member.type, 'a sparse or special file')}")
    if member.size < 0:
        raise DataError(f"member {quoted(member.name)} has {member.size:,} bytes")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Copy the content of a member to a new file.

    Raises: DataError if the path exists, or one of its folders is a file.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file, cast("IO[bytes]", tar.extractfile(member)) as content:
            shutil.copyfileobj(content, file, _BLOCK)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"member {quoted(member.name)} occurs twice, or below a file") from None


class Bounded:
    """A stream of a bounded number of bytes, against archives that unpack to any size.

    Raises: DataError at the first byte beyond.
    """

    def __init__(self, stream: gzip.GzipFile, *, most: int) -> None:
        self._stream, self._most, self._left = stream, most, most

    def read(self, size: int = -1) -> bytes:
        """Up to `size` further bytes."""
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise DataError(f"it unpacks to more than {self._most:,} bytes")
        return block
