"""The files of a data set: their published addresses, sizes and checksums, and their paths on this machine."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Literal, cast

from resatlas.data.idx import decompressed
from resatlas.errors import DataError
from resatlas.values.reading import opened


@dataclass(frozen=True, kw_only=True)
class Checksum:
    """The digest of a file or, for a gzip file that others repack, of the `content` bytes in it."""

    algorithm: Literal["md5", "sha256"]
    digest: str
    content: int | None = None


@dataclass(frozen=True, kw_only=True)
class Official:
    """A file below an https address, with its size and its checksum there."""

    name: str
    site: str
    bytes: int
    checksum: Checksum

    def __post_init__(self) -> None:
        if not (self.site.startswith("https://") and self.site.endswith("/")):
            raise DataError(f"official files are downloaded from https://…/ only; got {self.site}")

    @property
    def url(self) -> str:
        """Its published address."""
        return self.site + self.name


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file to read in an archive: its path there, and its size in bytes if it is known."""

    path: str
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """The files of a data set: official files, or the `members` of one official archive.

    `name` is a DATA text; `package` is a folder and the command that installs the files there, if a system has them.
    """

    name: str
    title: str
    files: tuple[Official, ...]
    members: tuple[Member, ...] = ()
    package: tuple[Path, str] | None = None

    def __post_init__(self) -> None:
        if self.members and len(self.files) != 1:
            raise DataError(f"members are those of one archive; {self.title} has {len(self.files)} files")

    @property
    def folder(self) -> str:
        """The name of its folder: that of the data set, without knobs."""
        return self.name.partition(":")[0]

    @property
    def needed(self) -> tuple[str, ...]:
        """Paths of the files that are read, below the folder of the data set."""
        return tuple(member.path for member in self.members) or tuple(file.name for file in self.files)


def check(path: Path, official: Official) -> None:
    """Check that a file is the official one, before it is read.

    Raises: DataError.
    """
    checksum = official.checksum
    digest, fault = _measured(path, checksum)
    if fault or digest != checksum.digest:
        raise DataError(
            f"{path} is damaged or another file{fault and f': {fault}'}; {checksum.algorithm} found {digest}, "
            f"published {checksum.digest}"
        )


def _measured(path: Path, checksum: Checksum) -> tuple[str, str]:
    """(the digest of the file at `path`, what is wrong with it or ""), as the checksum has it."""
    algorithm = partial(hashlib.new, checksum.algorithm, usedforsecurity=False)
    if checksum.content is None:
        with opened(path) as file:
            return hashlib.file_digest(cast("BufferedReader", file), algorithm).hexdigest(), ""
    content, fault = decompressed(path, limit=checksum.content)
    return algorithm(content).hexdigest(), fault


def folders(name: str) -> tuple[Path, ...]:
    """The possible folders of a data set in the order of search; downloads go to the first.

    Raises: DataError if RESATLAS_DATA is not set, and the user has no cache.
    """
    own, kept = os.environ.get("RESATLAS_DATA"), cache()
    candidates = ((Path(own, name), Path(own)) if own else ()) + ((kept / name,) if kept else ())
    if not candidates:
        raise DataError(
            "this user has no home directory for data sets; set RESATLAS_DATA or XDG_CACHE_HOME to a folder"
        )
    return candidates


def cache() -> Path | None:
    """The user's cache folder; None if the user has no home directory, as in some containers.

    Source: XDG Base Directory Specification 0.8, XDG_CACHE_HOME; a relative path there is ignored.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "resatlas"
    try:
        return Path.home() / ".cache" / "resatlas"
    except RuntimeError:  # neither HOME nor an entry of the user exists
        return None


def located(source: Source) -> tuple[Path, ...]:
    """The paths of all files to read, in the source's order, each in the first folder that has it.

    Raises: DataError if a file is missing, or its size differs from the published one.
    """
    paths = {path: where for path in source.needed if (where := present_file(source, path))}
    if missing := [path for path in source.needed if path not in paths]:
        looked = " or ".join(map(str, _places(source)))
        where = f"is not in {looked}" if not paths else f"lacks {', '.join(missing)}, which is not in {looked}"
        raise DataError(f"{source.title} {where}; {_remedy(source)}")
    for member in source.members:
        size = paths[member.path].stat().st_size
        if member.bytes not in (None, size):
            raise DataError(
                f"{paths[member.path]} is damaged: it has {size:,} bytes, {member.bytes:,} were published; "
                f'remove its folder and run "resatlas data fetch {source.name}"'
            )
    return tuple(paths.values())


def present_file(source: Source, path: str) -> Path | None:
    """The first existing file of this path, or None."""
    return next((folder / path for folder in _places(source) if (folder / path).is_file()), None)


def _places(source: Source) -> tuple[Path, ...]:
    """The folders to search for a source: those of the user, then that of its package."""
    return folders(source.folder) + ((source.package[0],) if source.package else ())


def _remedy(source: Source) -> str:
    """How to get a data set, with a network and without."""
    packaged = f'"{source.package[1]}" or ' if source.package else ""
    put = by_hand(source.files, folders(source.folder)[0])
    return (
        f'get it with {packaged}"resatlas data fetch {source.name}"; '
        f"without a network, {put} first (set RESATLAS_DATA to use another folder)"
    )


def by_hand(files: Sequence[Official], folder: Path) -> str:
    """How to place the files by hand; the files of a source have one address."""
    return f"put {', '.join(file.name for file in files)} of {files[0].site} into {folder}"
