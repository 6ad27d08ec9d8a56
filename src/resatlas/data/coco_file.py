"""A file of COCO's annotations, read element by element, and all its faults."""

import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from resatlas.data.box_arrays import with_area
from resatlas.data.boxes import Category, Id, Masks
from resatlas.data.complaints import Complaint, Effect, refuse
from resatlas.data.json_elements import read_lists
from resatlas.data.listing import printable
from resatlas.data.masks import Mask, Polygons, Rle, decompressed
from resatlas.errors import DataError, quoted

SLACK = 0.5
"""Pixels that a box may leave its image by rounding, without a word."""

_LISTS = ("images", "annotations", "categories")
_MOST_SIDE = 1 << 20


class ImageEntry(NamedTuple):
    """An entry of `images`."""

    id: Id
    name: str
    width: int
    height: int


class AnnotationFile(NamedTuple):
    """What a file of annotations says, with all its faults.

    Of each annotation, `boxes` has x, y, width and height, `images` its image, counted from 0, and `labels` its
    category, counted from 1. Annotations with a fault that refuses them are left out.
    """

    categories: tuple[Category, ...]
    entries: tuple[ImageEntry, ...]
    ids: tuple[Id, ...]
    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    masks: tuple[Mask, ...]
    complaints: tuple[Complaint, ...]


Complain = Callable[[str, str, Effect], None]


def complain_to(complaints: list[Complaint], file: str, where: str, reason: str, effect: Effect) -> None:
    """Add a fault of a file."""
    complaints.append(Complaint(file, where, reason, effect))


def read_file(path: Path, *, masks: Masks) -> AnnotationFile:
    """What a file of annotations says, with all its faults; the file is never in memory as a whole.

    Raises: DataError if it is not JSON with COCO's lists.
    """
    complaints: list[Complaint] = []
    complain = partial(complain_to, complaints, str(path))
    raw = _Raw(masks, complain)
    images: list[object] = []
    categories: list[object] = []
    taken = {"images": images.append, "annotations": raw.take, "categories": categories.append}
    keys = read_lists(path, taken)
    for key in _LISTS:
        if key not in keys:
            had = printable(", ".join([*keys][:12])) or "none"
            raise DataError(f"{printable(path)} lacks the list {key}; its keys are {had}")
    entries = _entries(images, complain)
    named = _categories(categories, complain)
    return raw.joined(named, entries, complaints)


def read_categories(file: Path) -> tuple[Category, ...]:
    """The categories of a file, in its order.

    Raises: DataError.
    """
    complaints: list[Complaint] = []
    entries: list[object] = []
    read_lists(file, {"categories": entries.append})
    categories = _categories(entries, partial(complain_to, complaints, str(file)))
    refuse(complaints, file.parent.parent)
    return categories


def _categories(entries: Sequence[object], complain: Complain) -> tuple[Category, ...]:
    categories: dict[Id, Category] = {}
    names: dict[str, Id] = {}
    for k, entry in enumerate(entries):
        where = f"category {k + 1} of the list"
        row = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        category = Category(row.get("id", ""), row.get("name", ""))
        if not _is_id(category.id) or not isinstance(category.name, str) or not category.name:
            complain(where, "it needs an id, a whole number or a text, and a name", "refused")
        elif category.id in categories:
            other = quoted(categories[category.id].name)
            complain(where, f"the id {category.id!r} is that of {other} too; number one anew", "refused")
        else:
            if (same := names.setdefault(category.name, category.id)) != category.id:
                reason = f"its name {quoted(category.name)} is that of the category {same!r} too; both get their ids"
                complain(where, reason, "noted")
            categories[category.id] = category
    return tuple(categories.values())


def _entries(images: Sequence[object], complain: Complain) -> tuple[ImageEntry, ...]:
    entries: dict[Id, ImageEntry] = {}
    names: dict[str, Id] = {}
    for k, image in enumerate(images):
        entry = _entry(image)
        if isinstance(entry, str):
            complain(f"image {k + 1} of the list", entry, "refused")
        elif entry.id in entries:
            other = entries[entry.id].name
            complain(entry.name, f"the image id {entry.id!r} is that of {other} too; number one anew", "refused")
        else:
            entries[entry.id] = entry
            if (same := names.setdefault(entry.name, entry.id)) != entry.id:
                complain(entry.name, f"the images {same!r} and {entry.id!r} are one file; join their objects", "noted")
    return tuple(entries.values())


def _entry(image: object) -> ImageEntry | str:
    """An entry, or what is wrong with it."""
    if not isinstance(image, dict):
        return "it is not an object with id, file_name, width and height"
    row = cast("dict[str, Any]", image)
    name = row.get("file_name")
    if not _is_id(row.get("id")):
        return "its id is neither a whole number nor a text"
    if not isinstance(name, str) or not name or "\0" in name:
        return f"the image {row['id']!r} needs a file_name"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return f"the file_name {quoted(printable(name))} leads out of the folder of images; name it relative to that"
    sides = (row.get("width"), row.get("height"))
    if not all(type(side) is int and 0 < side <= _MOST_SIDE for side in sides):
        return f"{quoted(printable(name))} needs its width and height in pixels, whole numbers from 1"
    return ImageEntry(row["id"], name, int(cast("int", sides[0])), int(cast("int", sides[1])))


def _is_id(value: object) -> bool:
    return (type(value) is int and abs(value) < 1 << 63) or isinstance(value, str)


class _Raw:
    """Annotations as they are taken from the file, before images and categories are known."""

    def __init__(self, masks: Masks, complain: Complain) -> None:
        self._masks = masks
        self._complain = complain
        self._ids: list[Id] = []
        self._images: list[Id] = []
        self._categories: list[Id] = []
        self._boxes = array("d")
        self._areas = array("d")
        self._crowd = bytearray()
        self._segments: list[object] = []
        self._known: set[Id] = set()
        self._count = 0

    def take(self, annotation: object) -> None:
        """Keep what an annotation says of its image, category and box, or complain."""
        self._count += 1
        where = f"annotation {self._count} of the list"
        if not isinstance(annotation, dict):
            self._complain(where, "it is not an object with image_id, category_id and bbox", "refused")
            return
        row = cast("dict[str, Any]", annotation)
        own = row.get("id", self._count)
        if not _is_id(own):
            self._complain(where, "its id is neither a whole number nor a text", "refused")
            return
        where = f"annotation {own}"
        if own in self._known:
            self._complain(where, "another annotation has the same id; number them anew", "noted")
        self._known.add(own)
        missing = [key for key in ("image_id", "category_id", "bbox") if key not in row]
        box, crowd = _numbers(row.get("bbox")), row.get("iscrowd", 0)
        if missing:
            self._complain(where, f"{' and '.join(missing)} missing", "refused")
        elif not (_is_id(row["image_id"]) and _is_id(row["category_id"])):
            self._complain(where, "image_id and category_id are whole numbers or texts", "refused")
        elif len(box) != 4:
            self._complain(where, "its bbox is four finite numbers, x, y, width, height; correct it", "refused")
        elif crowd not in (0, 1):
            self._complain(where, "its iscrowd is 0 or 1; correct it", "refused")
        else:
            area = _numbers([row.get("area", box[2] * box[3])])
            if not area or area[0] < 0:
                self._complain(where, "its area is not a number from 0; that of its box is taken", "noted")
            self._ids.append(own)
            self._images.append(row["image_id"])
            self._categories.append(row["category_id"])
            self._boxes.extend(box)
            self._areas.append(area[0] if area and area[0] >= 0 else max(box[2] * box[3], 0))
            self._crowd.append(int(crowd))
            if self._masks == "with masks":
                self._segments.append(_compact(row.get("segmentation")))

    def joined(
        self, categories: tuple[Category, ...], entries: tuple[ImageEntry, ...], complaints: list[Complaint]
    ) -> AnnotationFile:
        """The annotations with their images and categories, and all complaints."""
        image_of = {entry.id: k for k, entry in enumerate(entries)}
        label_of = {category.id: k + 1 for k, category in enumerate(categories)}
        images = np.array([image_of.get(image, -1) for image in self._images], np.int64)
        labels = np.array([label_of.get(category, 0) for category in self._categories], np.int64)
        boxes = np.array(self._boxes, np.float64).reshape(-1, 4)
        for k in np.flatnonzero(images < 0).tolist():
            reason = f"no image has the id {self._images[k]!r}{_as_other_type(self._images[k], image_of)}"
            self._complain(f"annotation {self._ids[k]}", reason, "refused")
        for k in np.flatnonzero(labels == 0).tolist():
            category = self._categories[k]
            reason = f"no category has the id {category!r}{_as_other_type(category, label_of)}"
            self._complain(f"annotation {self._ids[k]}", reason, "refused")
        kept = (images >= 0) & (labels > 0)
        for k, reason, effect in box_faults(boxes, images, entries, kept):
            self._complain(f"annotation {self._ids[k]} ({entries[int(images[k])].name})", reason, effect)
        masks: list[Mask] = []
        if self._masks == "with masks":
            for k in np.flatnonzero(kept).tolist():
                entry = entries[int(images[k])]
                mask = mask_of(self._segments[k], entry)
                if isinstance(mask, str):
                    self._complain(f"annotation {self._ids[k]} ({entry.name})", mask, "refused")
                    kept[k] = False
                else:
                    masks.append(mask)
        return AnnotationFile(
            categories=categories,
            entries=entries,
            ids=tuple(self._ids[k] for k in np.flatnonzero(kept).tolist()),
            images=images[kept],
            labels=labels[kept],
            boxes=boxes[kept],
            areas=np.array(self._areas, np.float64)[kept],
            crowd=np.frombuffer(bytes(self._crowd), np.uint8)[kept].astype(np.bool_),
            masks=tuple(masks),
            complaints=tuple(complaints),
        )


def _as_other_type(stated: Id, known: Mapping[Id, int]) -> str:
    """A hint at the same id in the other type, or that the id is to be corrected."""
    digits = str(stated)
    number = int(digits) if re.fullmatch(r"-?[0-9]{1,18}", digits) else None
    other = digits if isinstance(stated, int) else number
    if other in known:
        return f", but one has {other!r}: write both as numbers or both as texts"
    return "; correct it, or remove the annotation"


def box_faults(
    boxes: NDArray[np.float64], images: NDArray[np.int64], entries: Sequence[ImageEntry], kept: NDArray[np.bool_]
) -> Iterator[tuple[int, str, Effect]]:
    """(position, reason, effect) of each box without area or outside of its image, with the remedy."""
    places = np.flatnonzero(kept)
    if not len(places):
        return
    x, y, width, height = boxes[places].T
    corners = np.stack([x, y, x + width, y + height], axis=1)
    sizes = np.array([(entry.height, entry.width) for entry in entries], np.float64)[images[places]]
    flat = ~((width > 0) & (height > 0))
    bounds = np.stack([sizes[:, 1], sizes[:, 0]] * 2, axis=1)
    inside = np.clip(corners, 0, bounds)
    away = ~flat & ~with_area(inside)
    beyond = ~flat & ~away & (np.abs(corners - inside).max(axis=1) > SLACK)
    for j in np.flatnonzero(flat | away | beyond).tolist():
        box = ", ".join(f"{value:g}" for value in boxes[places[j]].tolist())
        entry = entries[int(images[places[j]])]
        if flat[j]:
            yield int(places[j]), f"the box {box} has no area; give it a width and a height, or remove it", "left out"
        elif away[j]:
            yield int(places[j]), f"the box {box} is outside of the image, {entry.width} x {entry.height}", "left out"
        else:
            wanted = "bbox is x, y, width, height" if _corners_would_fit(boxes[places[j]], entry) else "correct it"
            reason = f"the box {box} leaves the image, {entry.width} x {entry.height}; {wanted}"
            yield int(places[j]), reason, "cut"


def _corners_would_fit(box: NDArray[np.float64], entry: ImageEntry) -> bool:
    """Whether the four numbers would be a box within the image as x0, y0, x1, y1."""
    x0, y0, x1, y1 = box.tolist()
    return 0 <= x0 < x1 <= entry.width and 0 <= y0 < y1 <= entry.height


def _numbers(values: object) -> tuple[float, ...]:
    """The values as numbers, or nothing if one is not a finite number."""
    if not isinstance(values, list):
        return ()
    listed = cast("list[object]", values)
    try:
        numbers = tuple(float(value) for value in listed if type(value) in (int, float))  # type: ignore[arg-type]
    except OverflowError:
        return ()
    return numbers if len(numbers) == len(listed) and all(map(math.isfinite, numbers)) else ()


def _compact(segmentation: object) -> object:
    """A segmentation in little memory: polygons as arrays; what is none of COCO's forms as it is."""
    if isinstance(segmentation, list) and segmentation:
        polygons = [_numbers(polygon) for polygon in cast("list[object]", segmentation)]
        if all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons):
            return tuple(np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons)
    if isinstance(segmentation, dict):
        runs = cast("dict[str, Any]", segmentation)
        counts = cast("list[object]", runs["counts"]) if isinstance(runs.get("counts"), list) else None
        if counts is not None and all(type(count) is int and 0 <= count < 1 << 40 for count in counts):
            return {**runs, "counts": np.array(counts, np.int64)}
    return segmentation


def mask_of(segmentation: object, entry: ImageEntry) -> Mask | str:
    """The mask of an annotation in any of COCO's three forms, or what is wrong with it, with the remedy."""
    try:
        if isinstance(segmentation, tuple):
            corners = cast("tuple[NDArray[np.float64], ...]", segmentation)
            return Polygons(height=entry.height, width=entry.width, corners=corners)
        if not isinstance(segmentation, dict):
            return "its segmentation is polygons of three corners or more, or size and counts; add it"
        row = cast("dict[str, Any]", segmentation)
        size, counts = row.get("size"), row.get("counts")
        if size != [entry.height, entry.width]:
            shown = printable(str(size))[:40]
            return (
                f"its mask has the size {shown}, its image [{entry.height}, {entry.width}] (height, width); "
                "draw the mask anew"
            )
        if isinstance(counts, str):
            return decompressed(counts, entry.height, entry.width)
        if isinstance(counts, np.ndarray):
            return Rle(height=entry.height, width=entry.width, counts=counts)
        return "its counts are whole numbers or compressed letters; draw the mask anew"
    except DataError as error:
        return f"{error}; draw the mask anew"
