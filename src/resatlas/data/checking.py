"""Whether the images of a folder can be trained on: each opened, and what stands in the way named."""

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
    shown,
    with_code_points,
)
from resatlas.data.photograph import content, has_depth_of_16, pixels, proportioned
from resatlas.errors import DataError, unknown
from resatlas.values.cores import cores
from resatlas.values.progress import silent
from resatlas.values.threaded import threaded

REASONS: Mapping[Kind, str] = {
    "other": f"no image by its ending ({', '.join(ENDINGS)})",
    "again": "a link to a folder that is taken already",
    "closed": "a folder that cannot be listed",
}

NOT_READ = "of a format that is not read; convert it to PNG or JPEG"

TWELVE_BITS = "values up to 4,095 in 16 bits, of which the higher byte is read: nearly black; multiply them by 16"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file or folder, which is named from the folder that was checked; each on one line."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How many images can be read and how many files cannot, the images of each class of each part, and all faults.

    A root of class folders alone is one part, named "".
    """

    images: int
    unreadable: int
    classes: Mapping[str, Mapping[str, int]]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What lies in one part: files in no class, and what was found in each class."""

    part: str
    strays: tuple[str, ...]
    classes: Mapping[str, tuple[Found, ...]]


class Opened(NamedTuple):
    """What became of an image: a digest of its file and what is odd about it, or the reason why it cannot be read."""

    digest: bytes = b""
    reason: str = ""
    odd: str = ""


def checked(folder: Path, *, on_image: Callable[[int, int], None] = silent) -> Checked:
    """The images of all parts, each opened whole, by as many threads as there are cores; faults sorted by name.

    `on_image` is told after each image how many were looked at, and of how many.

    Raises: DataError if the folder is not laid out as a data set.
    """
    layout = found_layout(folder)
    parts = tuple(listed(folder, part) for part in layout.values())
    images = tuple(chain.from_iterable(map(image_names, parts)))
    opened: list[Opened] = []
    for each in threaded(partial(examined, folder), images, threads=cores()):
        opened.append(each)
        on_image(len(opened), len(images))
    misplacements = chain.from_iterable(misplaced(each, parts[0].classes) for each in parts)
    tested = () if "test" in layout else drawn_for_the_test(parts[0])
    faults = (
        *misplacements,
        *unreadable(images, opened),
        *odd(images, opened),
        *repeated(images, opened, places(parts, tested)),
    )
    bad = {image for image, each in zip(images, opened, strict=True) if each.reason}
    return Checked(
        images=len(images) - len(bad),
        unreadable=len(bad),
        classes={each.part: image_counts(each, bad) for each in parts},
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
        yield from (below_part(listed, f"{name}/{inner}") for inner, kind in found if kind == "image")


def below_part(listed: Listed, name: str) -> str:
    """A name below a part, from the folder that is checked."""
    return f"{listed.part}/{name}" if listed.part else name


def image_counts(listed: Listed, bad: Collection[str]) -> dict[str, int]:
    """The number of images of each class that can be read."""
    return {
        shown(name): sum(kind == "image" and below_part(listed, f"{name}/{inner}") not in bad for inner, kind in found)
        for name, found in listed.classes.items()
    }


def drawn_for_the_test(listed: Listed) -> frozenset[str]:
    """The images of a part that are tested on where there is no other part for that."""
    found: set[str] = set()
    for name, each in listed.classes.items():
        names = [f"{name}/{inner}" for inner, kind in each if kind == "image"]
        found.update(below_part(listed, image) for image in drawn(names, TESTED))
    return frozenset(found)


def examined(folder: Path, image: str) -> Opened:
    """An image, opened whole and let go."""
    try:
        whole = content(folder / image)
        brightest = proportioned(pixels(whole)).max()
    except DataError as error:
        return Opened(reason=str(error))
    dark = has_depth_of_16(whole) and 0 < brightest <= 15
    return Opened(digest=hashlib.sha256(whole).digest(), odd=TWELVE_BITS if dark else "")


def misplaced(listed: Listed, train: Collection[str]) -> Iterator[Fault]:
    """What is wrong in a part before any file is opened, where these are the classes of train."""
    for stray in listed.strays:
        yield Fault(shown(below_part(listed, stray)), "in no class folder")
    own, known = {composed(name): name for name in listed.classes}, {composed(name) for name in train}
    for name in train:
        if composed(name) not in own:
            yield Fault(shown(below_part(listed, name)), "missing, a class of train")
    for name, found in listed.classes.items():
        folder = below_part(listed, name)
        if not is_line(name):
            yield Fault(shown(folder), UNFIT)
        if (other := own[composed(name)]) != name:
            yield Fault(shown(folder), f"{with_code_points(name)} has the name of {with_code_points(other)}")
        if composed(name) not in known:
            yield Fault(shown(folder), f"train has {unknown('class', shown(name), map(shown, train))}")
        if not any(kind == "image" for _, kind in found):
            yield Fault(shown(folder), "a class without images")
        for inner, kind in found:
            if kind != "image":
                reason = NOT_READ if kind == "other" and inner.lower().endswith(UNREAD) else REASONS[kind]
                yield Fault(shown(f"{folder}/{inner}".removesuffix("/")), reason)


def unreadable(images: Sequence[str], opened: Sequence[Opened]) -> Iterator[Fault]:
    """The images that could not be read."""
    for image, each in zip(images, opened, strict=True):
        if each.reason:
            yield Fault(shown(image), each.reason)


def odd(images: Sequence[str], opened: Sequence[Opened]) -> Iterator[Fault]:
    """The images that can be read, and hardly show anything."""
    for image, each in zip(images, opened, strict=True):
        if each.odd:
            yield Fault(shown(image), each.odd)


class Place(NamedTuple):
    """Where an image counts: the same one should not be in two places."""

    part: str
    label: str
    tested: bool

    def beside(self, other: "Place") -> str:
        """In words in which way it is apart from another one of the same image."""
        if self.label != other.label:
            return f", as {shown(self.label)}"
        return "" if self.part != other.part else ", and one of them is drawn for the test"


def places(parts: Sequence[Listed], tested: Collection[str]) -> Iterator[Place]:
    """The place of every image, in the order of `image_names`."""
    for part in parts:
        for name, found in part.classes.items():
            images = (below_part(part, f"{name}/{inner}") for inner, kind in found if kind == "image")
            yield from (Place(part.part, composed(name), image in tested) for image in images)


def repeated(images: Sequence[str], opened: Sequence[Opened], places: Iterable[Place]) -> Iterator[Fault]:
    """The images whose file, byte for byte, lies in another part or class before it too, or is drawn for the test."""
    first: dict[bytes, dict[Place, str]] = {}
    for image, each, place in zip(images, opened, places, strict=True):
        if each.reason:
            continue
        earlier = first.setdefault(each.digest, {})
        if elsewhere := next((other for other in earlier if other != place), None):
            yield Fault(shown(image), f"also in {shown(earlier[elsewhere])}{elsewhere.beside(place)}")
        earlier.setdefault(place, image)
