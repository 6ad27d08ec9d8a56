"""Data sets in Pascal VOC's layout: `Annotations/*.xml`, `JPEGImages` and the lists of `ImageSets/Main`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

import numpy as np

from resatlas.data.boxes import (
    AnnotatedImages,
    AnnotatedParts,
    Category,
    DetectionData,
)
from resatlas.data.coco import part_of
from resatlas.data.coco_file import AnnotationFile, Complain, ImageEntry, box_faults, complain_to
from resatlas.data.complaints import Complaint, notes_on, refuse
from resatlas.data.layouts import Role
from resatlas.data.listing import ENDINGS, composed, contents, in_order, is_directory, printable
from resatlas.data.shared_images import shared_images
from resatlas.errors import DataError, quoted, unknown
from resatlas.values.reading import content

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The 20 classes of VOC, in its order. Source: The PASCAL Visual Object Classes Challenge 2012, development kit."""

_LISTS = ("train", "val", "trainval", "test")
_MOST = 1 << 22  # bytes of a file of annotations or a list: VOC's longest has 20,000
_MOST_SIDE = 1 << 20
_FROM_0 = "VOC counts pixels from 1: if this file counts from 0, add 1 to all its numbers"


class VocObject(NamedTuple):
    """An object of an image: its class, x, y, width and height from 0, and whether VOC calls it difficult."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


def is_voc(root: Path) -> bool:
    """Whether a folder has VOC's layout: `Annotations` and `ImageSets/Main`."""
    return is_directory(root / "Annotations") and is_directory(root / "ImageSets" / "Main")


def voc(root: Path) -> DetectionData:
    """The images and objects below `root`, such as VOCdevkit/VOC2007, in VOC's layout.

    With a list test, trainval is for training, or train if that is missing; else train is for training and val for the
    test. VOC counts pixels from 1 and includes the last: xmin to xmax becomes xmin - 1 to xmax. Objects that are
    difficult are left out of training and of a miss in the test. The classes are VOC's 20, or those of the user's
    objects in the order of their bytes.

    Raises: DataError if a list is missing or empty.
    """
    lists = part_lists(root)
    categories = _categories(root, lists)
    return DetectionData(
        name=str(root),
        channels=3,
        categories=categories,
        mirror="allowed",
        note=f"images with VOC's annotations, {' and '.join(lists.values())}; mirrored objects are assumed to keep "
        "their class",
        read=partial(read_voc, root, categories),
    )


def part_lists(root: Path, *, lists: str = "Main") -> dict[Role, str]:
    """The list of each part in a folder of ImageSets.

    Raises: DataError if there is none to test on.
    """
    present = [name for name in _LISTS if f"{name}.txt" in contents(root / "ImageSets" / lists)[0]]
    if "test" in present:
        train = next((name for name in ("trainval", "train") if name in present), None)
        return {"train": train, "test": "test"} if train else {"test": "test"}
    if "val" in present:
        return {"train": "train", "test": "val"} if "train" in present else {"test": "val"}
    raise DataError(
        f"{printable(root / 'ImageSets' / lists)} needs test.txt, or train.txt and val.txt; it has "
        f"{', '.join(present) or 'none of them'}"
    )


def names_in(root: Path, part: str, *, lists: str = "Main") -> tuple[str, ...]:
    """The names in the list of a part, in a folder of ImageSets.

    Raises: DataError if it cannot be read, is empty, or leads out of the folder.
    """
    file = root / "ImageSets" / lists / f"{part}.txt"
    try:
        lines = content(file, most=_MOST).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise DataError(f"{printable(file)} cannot be read: {reason}") from None
    names = tuple(dict.fromkeys(words[0] for line in lines if (words := line.split())))
    if not names:
        raise DataError(f"{printable(file)} names no image")
    for name in names:
        if "/" in name or "\0" in name or name in (".", ".."):
            raise DataError(f"{printable(file)} names {quoted(printable(name))}: write names of files without folders")
    return names


def _categories(root: Path, lists: dict[Role, str]) -> tuple[Category, ...]:
    """VOC's classes if no object has another, else those of all objects; ids count from 1."""
    seen: set[str] = set()
    silent: list[Complaint] = []
    for part in lists.values():
        for name in names_in(root, part):
            _, objects = read_xml(root / "Annotations" / f"{name}.xml", partial(complain_to, silent, name))
            seen.update(thing.name for thing in objects)
    classes = CLASSES if seen <= set(CLASSES) else in_order(seen)
    return tuple(Category(k, name) for k, name in enumerate(classes, start=1))


def read_voc(root: Path, categories: tuple[Category, ...]) -> AnnotatedParts:
    """The parts, with all annotations read and no image opened.

    Raises: DataError for a fault that makes a part unusable; others are in the notes.
    """
    parts: dict[Role, AnnotatedImages] = {}
    notes: list[str] = []
    for role, part in part_lists(root).items():
        file = read_part(root, part, categories)
        refuse(file.complaints, root)
        notes += notes_on(file.complaints)
        parts[role] = replace(part_of(file, root / "JPEGImages"), rules="COCO and VOC")
    refuse(list(shared_images(parts)), root)
    test = parts["test"]
    train = parts.get("train") or test.without_images()
    return AnnotatedParts(train=train, test=test, notes=tuple(notes))


def read_part(root: Path, part: str, categories: tuple[Category, ...]) -> AnnotationFile:
    """What the files of one part say, with all faults."""
    complaints: list[Complaint] = []
    entries: list[ImageEntry] = []
    rows: list[tuple[int, int, VocObject]] = []
    labels = {category.name: k for k, category in enumerate(categories, start=1)}
    files = frozenset(contents(root / "JPEGImages")[0])
    for name in names_in(root, part):
        file = root / "Annotations" / f"{name}.xml"
        complain = partial(complain_to, complaints, str(file))
        entry, objects = read_xml(file, complain)
        if entry is None:
            continue
        image = image_named(files, name) or f"{name}.jpg"
        for k, thing in enumerate(objects):
            if thing.name in labels:
                rows.append((len(entries), labels[thing.name], thing))
            else:
                complain(f"object {k + 1}", unknown("class", printable(thing.name), labels), "refused")
        entries.append(ImageEntry(name, image, entry.width, entry.height))
    return _table(root, categories, entries, rows, complaints)


def image_named(files: frozenset[str], name: str) -> str | None:
    """The file of an image of this name, whatever its ending."""
    return next((name + ending for ending in _endings(files, name)), None)


def _endings(files: frozenset[str], name: str) -> Iterator[str]:
    """The endings of images that a file of this name has."""
    for ending in ENDINGS:
        for spelled in (ending, ending.upper()):
            if name + spelled in files:
                yield spelled


def _table(
    root: Path,
    categories: tuple[Category, ...],
    entries: Sequence[ImageEntry],
    rows: Sequence[tuple[int, int, VocObject]],
    complaints: list[Complaint],
) -> AnnotationFile:
    images = np.array([image for image, _, _ in rows], np.int64)
    boxes = np.array([thing.box for _, _, thing in rows], np.float64).reshape(-1, 4)
    for k, reason, effect in box_faults(boxes, images, entries, np.ones(len(rows), np.bool_)):
        entry = entries[int(images[k])]
        own = int(np.flatnonzero(images == images[k]).searchsorted(k)) + 1
        file = str(root / "Annotations" / f"{entry.id}.xml")
        reasons = [reason, *([_FROM_0] if (boxes[k, :2] == -1).any() else [])]
        complaints.append(Complaint(file, f"object {own}, {rows[k][2].name}", "; ".join(reasons), effect))
    return AnnotationFile(
        categories=categories,
        entries=tuple(entries),
        ids=tuple(range(1, len(rows) + 1)),
        images=images,
        labels=np.array([label for _, label, _ in rows], np.int64),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowd=np.array([thing.difficult for _, _, thing in rows], np.bool_),
        masks=(),
        complaints=tuple(complaints),
    )


def read_xml(file: Path, complain: Complain) -> tuple[ImageEntry | None, tuple[VocObject, ...]]:
    """The size of an image and its objects, with complaints; None if the file cannot be used."""
    try:
        root = parsed(file)
        width, height = (_side(root, side) for side in ("width", "height"))
    except DataError as error:
        complain("", str(error), "refused")
        return None, ()
    objects = (_object(node, k, complain) for k, node in enumerate(root.findall("object"), start=1))
    return ImageEntry(file.stem, "", width, height), tuple(thing for thing in objects if thing is not None)


def parsed(file: Path) -> Element:
    """The root of an XML file without a document type, whose entities can grow without end.

    Raises: DataError with the reason alone.
    """
    try:
        text = content(file, most=_MOST)
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise DataError("it has a document type, which annotations do not need; remove it")
        return ET.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except FileNotFoundError:
        raise DataError("no such file; add it, or take its name from the list of ImageSets") from None
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror}") from None
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DataError(f"it is not XML: {error}") from None


def _side(root: Element, side: str) -> int:
    text = (root.findtext(f"size/{side}") or "").strip()
    if not (text.isdecimal() and len(text) < 8 and 0 < int(text) <= _MOST_SIDE):
        raise DataError(f"size/{side} is a number of pixels from 1; got {quoted(printable(text))}: correct it")
    return int(text)


def _object(node: Element, k: int, complain: Complain) -> VocObject | None:
    name = composed((node.findtext("name") or "").strip())
    where = f"object {k}, {name}" if name else f"object {k}"
    texts = [(node.findtext(f"bndbox/{corner}") or "").strip() for corner in ("xmin", "ymin", "xmax", "ymax")]
    numbers = tuple(map(_number, texts))
    if not name:
        complain(where, "it has no name; add its class", "refused")
        return None
    if not all(map(math.isfinite, numbers)):
        got = ", ".join(map(quoted, texts))
        complain(where, f"bndbox needs the numbers xmin, ymin, xmax and ymax; got {got}: correct it", "refused")
        return None
    x0, y0, x1, y1 = numbers
    difficult = (node.findtext("difficult") or "0").strip() == "1"
    return VocObject(name, (x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1), difficult)


def _number(text: str) -> float:
    try:
        return float(text) if len(text) <= 24 else math.nan
    except ValueError:
        return math.nan
