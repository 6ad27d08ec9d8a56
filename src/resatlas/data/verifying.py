"""A look at the files of a part before training: their content, and whether they are images; cached."""

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

from resatlas import __version__
from resatlas.data.dataset import ImageFiles
from resatlas.data.identity import MOST_BYTES, By, Fingerprint, fingerprint_of
from resatlas.data.official import cache
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
    import PIL  # here and below: a wrong word is reported before Pillow and numpy are imported

    from resatlas.data import photograph

    return f"resatlas {__version__}, Pillow {PIL.__version__}, {photograph.most_pixels()} pixels"


_MOST_REMEMBERED = 1 << 30  # bytes of a file that remembers


class Stamp(NamedTuple):
    """Size, times and inode of a file: one of them changes whenever its content does."""

    size: int
    modified: int
    changed: int
    node: int


class Look(NamedTuple):
    """The result of looking at a file: its size, -1 if it does not exist; the sha256 of its content, if that was read.

    `reason` is why it is not an image: empty for an image, None if it was not decoded.
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
        """The mark of each file in the fingerprint."""
        return [_mark(look, self.by) for look in self.looks]

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the part."""
        return fingerprint_of(self.part, self.marks, self.by)

    @property
    def unreadable(self) -> dict[str, str]:
        """The files that are not images, by name, with the reason."""
        return {name: look.reason for name, look in zip(self.part.files, self.looks, strict=True) if look.reason}


def _mark(look: Look, by: By) -> str:
    return look.content or f"size {look.size}" if by == "content" else str(look.size)


def looked_at(
    part: ImageFiles, *, depth: Depth, threads: int = 1, on_image: Callable[[int, int], None] = silent
) -> Looked:
    """A look at every file of a part, in threads; files unchanged since an earlier look come from the cache.

    The files are read if they have up to `MOST_BYTES` together, or are to be decoded. `on_image` is called with how
    many have been looked at, and of how many.
    """
    stamps = [_stamp_of(part.path(k)) for k in range(len(part))]
    by: By = "content" if sum(stamp.size for stamp in stamps if stamp) <= MOST_BYTES else "size"
    memory = _remembered(part.root)
    earlier = [memory.get(name) for name in part.files]
    looks: list[Look] = []
    began = time.time_ns()
    tasks = list(zip(map(part.path, range(len(part))), stamps, earlier, strict=True))
    for look in threaded(partial(_looked, depth=depth, read=by == "content"), tasks, threads=threads):
        looks.append(look)
        PULSE.beat()
        on_image(len(looks), len(part))
    new = {
        name: (stamp, look)
        for name, stamp, look in zip(part.files, stamps, looks, strict=True)
        if stamp and look.content and began - max(stamp.modified, stamp.changed) > FRESH * 1e9
    }
    if new != {name: memory[name] for name in new if name in memory}:
        others = {name: known for name, known in memory.items() if name not in part.files}  # parts may share a folder
        _remember(part.root, {**others, **new})
    return Looked(part=part, by=by, looks=tuple(looks))


def _stamp_of(file: Path) -> Stamp | None:
    """The stamp of a file, or of what it links to; None if it has none."""
    try:
        status = file.stat()
    except (OSError, ValueError):  # ValueError: a null character in the name
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


Known = tuple[Stamp, Look]


def _looked(task: tuple[Path, Stamp | None, Known | None], *, depth: Depth, read: bool) -> Look:
    file, now, known = task
    size = now.size if now else -1
    if known and known[0] == now and (depth == "listed" or known[1].reason == ""):
        return known[1]
    if depth == "listed" and not read:
        return Look(size)
    from resatlas.data import photograph

    content = ""
    try:
        whole = photograph.content(file)
        content = hashlib.sha256(whole).hexdigest()
        if depth == "decoded":
            photograph.proportioned(photograph.pixels(whole))
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
        table = json.loads(reading.text(_file(root), most=_MOST_REMEMBERED))
        decided = table["decoder"] == decoder()
        return dict(_rows(table["files"].items(), decided=decided))
    return {}


def _rows(rows: Iterable[tuple[str, list[object]]], *, decided: bool) -> Iterator[tuple[str, Known]]:
    for name, (size, modified, changed, node, content, good) in rows:
        look = Look(int(str(size)), str(content), "" if good and decided else None)
        yield name, (Stamp(*(int(str(value)) for value in (size, modified, changed, node))), look)


def _remember(root: Path, files: dict[str, Known]) -> None:
    """Remember files for another time, if there is a place for it; of broken ones the content alone."""
    rows = {name: [*stamp, look.content, look.reason == ""] for name, (stamp, look) in files.items()}
    with suppress(OSError, UnicodeEncodeError, RuntimeError):
        file = _file(root)
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, prefix=".", delete=False) as draft:
            json.dump({"decoder": decoder(), "files": rows}, draft)
        Path(draft.name).replace(file)
