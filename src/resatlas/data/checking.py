"""Whether the images of a folder can be trained on: each opened, and what stands in the way named."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

from resatlas.data.folder import UNFIT, found_layout
from resatlas.data.listing import ENDINGS, Found, Kind, below, contents, in_order, is_line, shown
from resatlas.data.photograph import content, pixels, proportioned
from resatlas.errors import DataError, unknown

REASONS: Mapping[Kind, str] = {
    "other": f"no image by its ending ({', '.join(ENDINGS)})",
    "again": "a link to a folder that is taken already",
    "closed": "a folder that cannot be listed",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file or folder, which is named from the folder that was checked; each on one line."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How many images were opened, how many files of images each class of each part has, and all that is wrong."""

    images: int
    classes: Mapping[str, Mapping[str, int]]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What lies in one part: files in no class, and what was found in each class."""

    part: str
    strays: tuple[str, ...]
    classes: Mapping[str, tuple[Found, ...]]


class Opened(NamedTuple):
    """What became of an image: a digest of its file, or the reason why it cannot be read."""

    digest: bytes = b""
    reason: str = ""


def unwatched(looked: int, total: int) -> None:
    """Nothing is said."""


def checked(folder: Path, *, on_image: Callable[[int, int], None] = unwatched) -> Checked:
    """The images of all parts, each opened whole, by as many threads as there are cores; faults sorted by name.

    `on_image` is told after each image how many were looked at, and of how many.

    Raises: DataError if the folder is not laid out as a data set.
    """
    parts = tuple(listed(folder, part) for part in found_layout(folder).values())
    images = tuple(chain.from_iterable(map(image_names, parts)))
    opened: list[Opened] = []
    with ThreadPool(os.cpu_count()) as pool:
        for each in pool.imap(partial(examined, folder), images, chunksize=16):
            opened.append(each)
            on_image(len(opened), len(images))
    misplacements = chain.from_iterable(misplaced(each, parts[0].classes) for each in parts)
    faults = (*misplacements, *unreadable(images, opened), *repeated(images, opened))
    return Checked(
        images=len(images),
        classes={each.part: image_counts(each) for each in parts},
        faults=tuple(sorted(faults, key=lambda fault: (os.fsencode(fault.file), fault.reason))),
    )


def listed(folder: Path, part: str) -> Listed:
    """What lies in a part of the folder, in order.

    Raises: DataError if the part cannot be listed.
    """
    above = (folder, folder / part)
    strays, classes = contents(folder / part)
    return Listed(
        part=part,
        strays=in_order(strays),
        classes={name: below(folder / part / name, apart_from=above) for name in in_order(classes)},
    )


def image_names(listed: Listed) -> Iterator[str]:
    """The images of a part, named from the folder that is checked."""
    for name, found in listed.classes.items():
        yield from (f"{listed.part}/{name}/{inner}" for inner, kind in found if kind == "image")


def image_counts(listed: Listed) -> dict[str, int]:
    """The number of images of each class."""
    return {shown(name): sum(kind == "image" for _, kind in found) for name, found in listed.classes.items()}


def examined(folder: Path, image: str) -> Opened:
    """An image, opened whole and let go."""
    try:
        whole = content(folder / image)
        proportioned(pixels(whole))
    except DataError as error:
        return Opened(reason=str(error))
    return Opened(digest=hashlib.sha256(whole).digest())


def misplaced(listed: Listed, train: Collection[str]) -> Iterator[Fault]:
    """What is wrong in a part before any file is opened, where these are the classes of train."""
    for stray in listed.strays:
        yield Fault(shown(f"{listed.part}/{stray}"), "in no class folder")
    for name in train:
        if name not in listed.classes:
            yield Fault(shown(f"{listed.part}/{name}"), "missing, a class of train")
    for name, found in listed.classes.items():
        folder = f"{listed.part}/{name}"
        if not is_line(name):
            yield Fault(shown(folder), UNFIT)
        if name not in train:
            yield Fault(shown(folder), f"train has {unknown('class', shown(name), map(shown, train))}")
        if not any(kind == "image" for _, kind in found):
            yield Fault(shown(folder), "a class without images")
        for inner, kind in found:
            if kind != "image":
                yield Fault(shown(f"{folder}/{inner}".removesuffix("/")), REASONS[kind])


def unreadable(images: Sequence[str], opened: Sequence[Opened]) -> Iterator[Fault]:
    """The images that could not be read."""
    for image, each in zip(images, opened, strict=True):
        if each.reason:
            yield Fault(shown(image), each.reason)


def repeated(images: Sequence[str], opened: Sequence[Opened]) -> Iterator[Fault]:
    """The images of one part whose file, byte for byte, lies in a part before it too."""
    first: dict[bytes, str] = {}
    for image, each in zip(images, opened, strict=True):
        if each.reason:
            continue
        earlier = first.setdefault(each.digest, image)
        if earlier.partition("/")[0] != image.partition("/")[0]:
            yield Fault(shown(image), f"also in {shown(earlier)}")
