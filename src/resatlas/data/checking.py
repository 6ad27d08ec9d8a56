"""A check of a folder of images: every image is opened, and every fault is named."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from resatlas.data.folder import TESTED, UNFIT, drawn
from resatlas.data.layouts import found_layout
from resatlas.data.listing import (
    ENDINGS,
    UNREAD,
    Found,
    Kind,
    below,
    composed,
    contents,
    in_order,
    is_line,
    printable,
    with_code_points,
)
from resatlas.data.photograph import content, has_depth_of_16, pixels, proportioned
from resatlas.errors import DataError, unknown
from resatlas.values.cores import cores
from resatlas.values.progress import silent
from resatlas.values.threaded import threaded

_REASONS: Mapping[Kind, str] = {
    "other": f"no image by its ending ({', '.join(ENDINGS)})",
    "again": "a link to a folder that is taken already",
    "closed": "a folder that cannot be listed",
}

_NOT_READ = "of a format that is not read; convert it to PNG or JPEG"

_TWELVE_BITS = "values up to 4,095 in 16 bits, of which the higher byte is read: nearly black; multiply them by 16"


@dataclass(frozen=True)
class Fault:
    """A fault of a file or folder, named relative to the checked folder; both fields fit on one line."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The numbers of readable and unreadable images, the images of each class of each part, and all faults.

    A root of class folders alone is one part, named "".
    """

    images: int
    unreadable: int
    classes: Mapping[str, Mapping[str, int]]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The files of one part: those outside of class folders, and those of each class."""

    part: str
    strays: tuple[str, ...]
    classes: Mapping[str, tuple[Found, ...]]


class Opened(NamedTuple):
    """The result of opening an image: a digest of its file and an oddity, or the reason why it cannot be read."""

    digest: bytes = b""
    reason: str = ""
    odd: str = ""


def checked(folder: Path, *, on_image: Callable[[int, int], None] = silent) -> Checked:
    """The images of all parts, each opened whole, by as many threads as there are cores; faults sorted by name.

    `on_image` is called after each image with the number opened so far and the total.

    Raises: DataError if the folder is not laid out as a data set.
    """
    layout = found_layout(folder)
    parts = tuple(listed(folder, part) for part in layout.values())
    images = tuple(chain.from_iterable(map(_image_names, parts)))
    opened: list[Opened] = []
    for result in threaded(partial(_examined, folder), images, threads=cores()):
        opened.append(result)
        on_image(len(opened), len(images))
    misplacements = chain.from_iterable(_misplaced(part, parts[0].classes) for part in parts)
    tested = () if "test" in layout else _drawn_for_the_test(parts[0])
    faults = (
        *misplacements,
        *unreadable(images, opened),
        *odd(images, opened),
        *_repeated(images, opened, places(parts, tested)),
    )
    bad = {image for image, result in zip(images, opened, strict=True) if result.reason}
    return Checked(
        images=len(images) - len(bad),
        unreadable=len(bad),
        classes={part.part: _image_counts(part, bad) for part in parts},
        faults=tuple(sorted(faults, key=lambda fault: (os.fsencode(fault.file), fault.reason))),
    )


def listed(folder: Path, part: str) -> Listed:
    """The files of a part of the folder, in order.

    Raises: DataError if the part cannot be listed.
    """
    above = (folder, folder / part)
    strays, classes = contents(folder / part)
    return Listed(
        part=part,
        strays=in_order(strays),
        classes={name: below(folder / part / name, apart_from=above) for name in in_order(classes)},
    )


def _image_names(listed: Listed) -> Iterator[str]:
    """The images of a part, named relative to the checked folder."""
    for name, entries in listed.classes.items():
        yield from (_below_part(listed, f"{name}/{inner}") for inner, kind in entries if kind == "image")


def _below_part(listed: Listed, name: str) -> str:
    """A name below a part, relative to the checked folder."""
    return f"{listed.part}/{name}" if listed.part else name


def _image_counts(listed: Listed, bad: Collection[str]) -> dict[str, int]:
    """The number of readable images of each class."""
    return {
        printable(name): sum(
            kind == "image" and _below_part(listed, f"{name}/{inner}") not in bad for inner, kind in entries
        )
        for name, entries in listed.classes.items()
    }


def _drawn_for_the_test(listed: Listed) -> frozenset[str]:
    """The images of a part that training holds out for the test if the folder has no test part."""
    images: set[str] = set()
    for name, entries in listed.classes.items():
        names = [f"{name}/{inner}" for inner, kind in entries if kind == "image"]
        images.update(_below_part(listed, image) for image in drawn(names, TESTED))
    return frozenset(images)


def _examined(folder: Path, image: str) -> Opened:
    """The result of opening one image."""
    try:
        whole = content(folder / image)
        brightest = proportioned(pixels(whole)).max()
    except DataError as error:
        return Opened(reason=str(error))
    dark = has_depth_of_16(whole) and 0 < brightest <= 15
    return Opened(digest=hashlib.sha256(whole).digest(), odd=_TWELVE_BITS if dark else "")


def _misplaced(listed: Listed, train: Collection[str]) -> Iterator[Fault]:
    """The faults of a part that show before any file is opened, given the classes of train."""
    for stray in listed.strays:
        yield Fault(printable(_below_part(listed, stray)), "in no class folder")
    own, trained = {composed(name): name for name in listed.classes}, {composed(name) for name in train}
    for name in train:
        if composed(name) not in own:
            yield Fault(printable(_below_part(listed, name)), "missing, a class of train")
    for name, entries in listed.classes.items():
        folder = _below_part(listed, name)
        if not is_line(name):
            yield Fault(printable(folder), UNFIT)
        if (other := own[composed(name)]) != name:
            yield Fault(printable(folder), f"{with_code_points(name)} has the name of {with_code_points(other)}")
        if composed(name) not in trained:
            yield Fault(printable(folder), f"train has {unknown('class', printable(name), map(printable, train))}")
        if not any(kind == "image" for _, kind in entries):
            yield Fault(printable(folder), "a class without images")
        for inner, kind in entries:
            if kind != "image":
                reason = _NOT_READ if kind == "other" and inner.lower().endswith(UNREAD) else _REASONS[kind]
                yield Fault(printable(f"{folder}/{inner}".removesuffix("/")), reason)


def unreadable(images: Sequence[str], opened: Sequence[Opened]) -> Iterator[Fault]:
    """The images that cannot be read."""
    for image, result in zip(images, opened, strict=True):
        if result.reason:
            yield Fault(printable(image), result.reason)


def odd(images: Sequence[str], opened: Sequence[Opened]) -> Iterator[Fault]:
    """The readable images that are nearly black."""
    for image, result in zip(images, opened, strict=True):
        if result.odd:
            yield Fault(printable(image), result.odd)


class Place(NamedTuple):
    """The part, class and split of an image: the same image should have one place only."""

    part: str
    label: str
    tested: bool

    def beside(self, other: "Place") -> str:
        """The difference from another place of the same image, in words."""
        if self.label != other.label:
            return f", as {printable(self.label)}"
        return "" if self.part != other.part else ", and one of them is drawn for the test"


def places(parts: Sequence[Listed], tested: Collection[str]) -> Iterator[Place]:
    """The place of every image, in the order of `_image_names`."""
    for part in parts:
        for name, entries in part.classes.items():
            images = (_below_part(part, f"{name}/{inner}") for inner, kind in entries if kind == "image")
            yield from (Place(part.part, composed(name), image in tested) for image in images)


def _repeated(images: Sequence[str], opened: Sequence[Opened], places: Iterable[Place]) -> Iterator[Fault]:
    """The images that occur earlier, byte for byte, in another part or class, or in the split for the test."""
    first: dict[bytes, dict[Place, str]] = {}
    for image, result, place in zip(images, opened, places, strict=True):
        if result.reason:
            continue
        earlier = first.setdefault(result.digest, {})
        if elsewhere := next((other for other in earlier if other != place), None):
            yield Fault(printable(image), f"also in {printable(earlier[elsewhere])}{elsewhere.beside(place)}")
        earlier.setdefault(place, image)
