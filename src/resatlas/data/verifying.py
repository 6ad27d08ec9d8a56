"""The files of a part looked at before they are needed: what they hold, and whether they are images; remembered."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal, NamedTuple

import PIL

from resatlas import __version__
from resatlas.data import photograph
from resatlas.data.dataset import ImageFiles
from resatlas.data.identity import MOST_BYTES, By, Fingerprint, fingerprint_of
from resatlas.data.photograph import pixels, proportioned
from resatlas.data.places import cache
from resatlas.errors import DataError
from resatlas.values import reading
from resatlas.values.progress import silent
from resatlas.values.pulse import PULSE
from resatlas.values.threaded import threaded

Depth = Literal["listed", "decoded"]
"""Whether the files are read alone, for their fingerprint, or each is decoded as an image too."""

FRESH = 2.0
"""Seconds within which a file may change and keep its times, whose clock ticks coarsely: it is not remembered yet."""


def decoder() -> str:
    """What decides that an image can be read; another one decides again."""
    return f"resatlas {__version__}, Pillow {PIL.__version__}, {photograph.most_pixels()} pixels"


MOST_REMEMBERED = 1 << 30  # bytes of a file that remembers


class Stamp(NamedTuple):
    """What changes of a file whenever its content does."""

    size: int
    modified: int
    changed: int
    node: int


class Look(NamedTuple):
    """What was seen of a file: its size, -1 if it has none; the sha256 of its content, if that was read.

    `reason` says why it is no image; empty where it is one, None where nobody tried.
    """

    size: int
    content: str = ""
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Looked:
    """The files of a part, as they were when they were looked at."""

    part: ImageFiles
    by: By
    looks: tuple[Look, ...]

    @property
    def marks(self) -> list[str]:
        """What each file counts as in the fingerprint."""
        return [_mark(each, self.by) for each in self.looks]

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the part."""
        return fingerprint_of(self.part, self.marks, self.by)

    @property
    def unreadable(self) -> dict[str, str]:
        """The files that are no images, by name, each with the reason."""
        return {name: each.reason for name, each in zip(self.part.files, self.looks, strict=True) if each.reason}


def _mark(look: Look, by: By) -> str:
    return look.content or f"size {look.size}" if by == "content" else str(look.size)


def looked_at(
    part: ImageFiles, *, depth: Depth, threads: int = 1, on_image: Callable[[int, int], None] = silent
) -> Looked:
    """Every file of a part looked at, in threads; what is known of a file that has not changed since is remembered.

    The files are read if they have up to `MOST_BYTES` together, or are to be decoded. `on_image` is called with how
    many have been looked at, and of how many.
    """
    stamps = [stamp(part.path(k)) for k in range(len(part))]
    by: By = "content" if sum(each.size for each in stamps if each) <= MOST_BYTES else "size"
    memory = _remembered(part.root)
    known = [memory.get(name) for name in part.files]
    looks: list[Look] = []
    began = time.time_ns()
    tasks = list(zip(map(part.path, range(len(part))), stamps, known, strict=True))
    for each in threaded(partial(_looked, depth=depth, read=by == "content"), tasks, threads=threads):
        looks.append(each)
        PULSE.beat()
        on_image(len(looks), len(part))
    new = {
        name: (each, look)
        for name, each, look in zip(part.files, stamps, looks, strict=True)
        if each and look.content and began - max(each.modified, each.changed) > FRESH * 1e9
    }
    if new != {name: memory[name] for name in new if name in memory}:
        others = {name: each for name, each in memory.items() if name not in part.files}  # parts may share a folder
        _remember(part.root, {**others, **new})
    return Looked(part=part, by=by, looks=tuple(looks))


def stamp(file: Path) -> Stamp | None:
    """The stamp of a file, or of what it links to; None if it has none."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # ValueError: a null character in the name
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


Known = tuple[Stamp, Look]


def _looked(task: tuple[Path, Stamp | None, Known | None], *, depth: Depth, read: bool) -> Look:
    file, now, known = task
    size = now.size if now else -1
    if known and known[0] == now and (depth == "listed" or known[1].reason == ""):
        return known[1]
    if depth == "listed" and not read:
        return Look(size)
    content = ""
    try:
        whole = photograph.content(file)
        content = hashlib.sha256(whole).hexdigest()
        if depth == "decoded":
            proportioned(pixels(whole))
    except DataError as error:
        return Look(size, content, str(error))
    return Look(size, content, "" if depth == "decoded" else None)


def _file(root: Path) -> Path:
    """The file that remembers the images below a folder."""
    place = cache()
    if place is None:
        raise FileNotFoundError("no folder of the user")
    return place / "verified" / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.json"


def _remembered(root: Path) -> dict[str, Known]:
    """What is remembered of the files below a folder, by name; nothing where that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):  # RuntimeError: a user without a home
        found = json.loads(reading.text(_file(root), most=MOST_REMEMBERED))
        decided = found["decoder"] == decoder()
        return dict(_rows(found["files"].items(), decided=decided))
    return {}


def _rows(rows: Iterable[tuple[str, list[object]]], *, decided: bool) -> Iterator[tuple[str, Known]]:
    for name, (size, modified, changed, node, content, good) in rows:
        look = Look(int(str(size)), str(content), "" if good and decided else None)
        yield name, (Stamp(*(int(str(each)) for each in (size, modified, changed, node))), look)


def _remember(root: Path, files: dict[str, Known]) -> None:
    """Remember files for another time, if there is a place for it; of broken ones the content alone."""
    rows = {name: [*each, look.content, look.reason == ""] for name, (each, look) in files.items()}
    with suppress(OSError, UnicodeEncodeError, RuntimeError):
        file = _file(root)
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, prefix=".", delete=False) as draft:
            json.dump({"decoder": decoder(), "files": rows}, draft)
        Path(draft.name).replace(file)
