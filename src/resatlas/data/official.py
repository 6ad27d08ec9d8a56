"""The files of a data set as their authors publish them: address, size, checksum."""

import hashlib
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
