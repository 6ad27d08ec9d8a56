"""The files of a data set: their published addresses, sizes and checksums, and where they lie on this machine."""

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
    """The digest of a file or, where it is a gzip file that others pack anew, of the `content` bytes in it."""

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
            raise DataError(f"official files are fetched from https://…/ alone; {self.site} is not that")

    @property
    def url(self) -> str:
        """Where it is published."""
        return self.site + self.name


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file of an archive that is read: its path there, and its bytes if all that is in it has one size."""

    path: str
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a data set is read from: official files or, where `members` are named, what one official archive holds.

    `name` is a DATA text; `package` a folder, and the command that fills it where a system has the files.
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
    """Refuses a file that is not the official one, before anything else is read of it.

    Raises: DataError.
    """
    checksum = official.checksum
    digest, fault = measured(path, checksum)
    if fault or digest != checksum.digest:
        raise DataError(
            f"{path} is damaged or another file{fault and f': {fault}'}; {checksum.algorithm} found {digest}, "
            f"published {checksum.digest}"
        )


def measured(path: Path, checksum: Checksum) -> tuple[str, str]:
    """(the digest of the file at `path`, what is wrong with it or ""), as the checksum has it."""
    algorithm = partial(hashlib.new, checksum.algorithm, usedforsecurity=False)
    if checksum.content is None:
        with opened(path) as file:
            return hashlib.file_digest(cast("BufferedReader", file), algorithm).hexdigest(), ""
    content, fault = decompressed(path, limit=checksum.content)
    return algorithm(content).hexdigest(), fault


def folders(name: str) -> tuple[Path, ...]:
    """Where a data set of that name may lie, in the order of looking; the first is where it is fetched to.

    Raises: DataError if RESATLAS_DATA names none, and the user has no cache.
    """
    own, kept = os.environ.get("RESATLAS_DATA"), cache()
    found = ((Path(own, name), Path(own)) if own else ()) + ((kept / name,) if kept else ())
    if not found:
        raise DataError(
            "this user has no home directory to keep data sets in; set RESATLAS_DATA or XDG_CACHE_HOME to a folder"
        )
    return found


def cache() -> Path | None:
    """The user's folder of what can be fetched again; none where the user has no home, as in some containers.

    Source: XDG Base Directory Specification 0.8, XDG_CACHE_HOME; a relative path there counts as none.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "resatlas"
    try:
        return Path.home() / ".cache" / "resatlas"
    except RuntimeError:  # neither HOME nor an entry of the user
        return None


def located(source: Source) -> tuple[Path, ...]:
    """Where each file lies that is read, in the source's order: in the first folder that has it.

    Raises: DataError if one is missing, or has another size than was published.
    """
    found = {path: where for path in source.needed if (where := lying(source, path))}
    if missing := [path for path in source.needed if path not in found]:
        looked = " or ".join(map(str, places(source)))
        where = f"is not in {looked}" if not found else f"lacks {', '.join(missing)}, which is not in {looked}"
        raise DataError(f"{source.title} {where}; {remedy(source)}")
    for member in source.members:
        size = found[member.path].stat().st_size
        if member.bytes not in (None, size):
            raise DataError(
                f"{found[member.path]} is damaged: it has {size:,} bytes, {member.bytes:,} were published; "
                f'remove its folder and say "resatlas data fetch {source.name}"'
            )
    return tuple(found.values())


def lying(source: Source, path: str) -> Path | None:
    """The first place that has a file of that path, if one has."""
    return next((folder / path for folder in places(source) if (folder / path).is_file()), None)


def places(source: Source) -> tuple[Path, ...]:
    """The folders that are looked at for a source: the user's own, then that of its package."""
    return folders(source.folder) + ((source.package[0],) if source.package else ())


def remedy(source: Source) -> str:
    """How to get a data set, with a network and without."""
    packaged = f'"{source.package[1]}" or ' if source.package else ""
    put = by_hand(source.files, folders(source.folder)[0])
    return (
        f'get it with {packaged}"resatlas data fetch {source.name}"; '
        f"without a network, {put} first (RESATLAS_DATA names another folder)"
    )


def by_hand(files: Sequence[Official], folder: Path) -> str:
    """Which files to put where; those of a source have one address."""
    return f"put {', '.join(file.name for file in files)} of {files[0].site} into {folder}"
