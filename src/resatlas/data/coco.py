"""Data sets in COCO's layout: `annotations/instances_{train,val}*.json` and folders of images."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resatlas.data.boxes import (
    AnnotatedImages,
    AnnotatedParts,
    Annotations,
    Category,
    DetectionData,
    Masks,
)
from resatlas.data.coco_file import AnnotationFile, ImageEntry, read_categories, read_file
from resatlas.data.complaints import Complaint, notes_on, refuse
from resatlas.data.layouts import Role
from resatlas.data.listing import contents, in_order, is_directory, printable
from resatlas.data.photograph import content, header, lie_of, pixels, proportioned
from resatlas.data.shared_images import shared_images
from resatlas.errors import DataError, UnreadableImage, quoted

_FILE = re.compile(r"instances_(?P<part>train|val|test)(?P<year>.*)\.json", re.DOTALL)
_ROLES: Mapping[str, Role] = {"train": "train", "val": "validation", "test": "test"}


def is_coco(root: Path) -> bool:
    """Whether a folder has COCO's layout: a file `annotations/instances_*.json`."""
    try:
        names = contents(root / "annotations")[0]
    except DataError:
        return False
    return any(name.startswith("instances_") and name.endswith(".json") for name in names)


def coco(root: Path, *, masks: Masks = "boxes alone") -> DetectionData:
    """The images and objects below `root`, in COCO's layout.

    `annotations/instances_train2017.json` belongs to the images of `train2017`, `images/train2017`, `images` or the
    root; val is for the test, or for validation if there is a test part. Categories keep their ids and names; the order
    is that of the first part.

    Raises: DataError if there is no such file, or a part has two.
    """
    files = part_files(root)
    categories = read_categories(root / next(iter(files.values())))
    return DetectionData(
        name=str(root),
        channels=3,
        categories=categories,
        mirror="allowed",
        note="images with COCO's annotations; mirrored objects are assumed to keep their category",
        masks=masks,
        read=partial(read_coco, root, masks),
    )


def part_files(root: Path) -> dict[Role, str]:
    """The file of annotations of each part, below the root; val is for the test if there is no test.

    Raises: DataError if there is none, or a part has two.
    """
    names = in_order(name for name in contents(root / "annotations")[0] if name.endswith(".json"))
    files: dict[Role, str] = {}
    for name in names:
        if (match := _FILE.fullmatch(name)) is None:
            continue
        role, path = _ROLES[match["part"]], f"annotations/{name}"
        if role in files:
            raise DataError(
                f"{printable(root)} has {files[role]} and {printable(path)}, two files for one part; move one away"
            )
        files[role] = path
    if "test" not in files and "validation" in files:
        files["test"] = files.pop("validation")
    if "test" not in files:
        raise DataError(
            f"{printable(root / 'annotations')} needs instances_train*.json and instances_val*.json; it has "
            f"{', '.join(map(printable, names[:5])) or 'no JSON file'}"
        )
    return {role: files[role] for role in _ROLES.values() if role in files}


def read_coco(root: Path, masks: Masks) -> AnnotatedParts:
    """The parts, with all annotations read and no image opened.

    Raises: DataError for a fault that makes a part unusable; others are in the notes.
    """
    parts: dict[Role, AnnotatedImages] = {}
    notes: list[str] = []
    for role, name in part_files(root).items():
        file = read_file(root / name, masks=masks)
        first = next(iter(parts.values()), None)
        complaints = [*file.complaints, *other_categories(root / name, file, first)]
        refuse(complaints, root)
        notes += notes_on(complaints)
        own = relabelled(file, first.categories) if first else file
        parts[role] = part_of(own, image_folder(root, name, file.entries))
    complaints = list(shared_images(parts))
    refuse(complaints, root)
    notes += notes_on(complaints)
    test = parts["test"]
    return AnnotatedParts(
        train=parts.get("train") or test.without_images(),
        test=test,
        validation=parts.get("validation"),
        notes=tuple(notes),
    )


def other_categories(path: Path, file: AnnotationFile, first: AnnotatedImages | None) -> Iterator[Complaint]:
    """The fault of a part whose categories are not those of the first part."""
    if first is not None and (differing := set(file.categories) ^ set(first.categories)):
        few = ", ".join(sorted(f"{quoted(printable(name))} with id {own!r}" for own, name in differing)[:3])
        yield Complaint(
            str(path), "categories", f"the first part and this one differ in {few}; give both the same", "refused"
        )


def relabelled(file: AnnotationFile, categories: Sequence[Category]) -> AnnotationFile:
    """A file with the labels of the same categories in another order: each file lists them in an order of its own."""
    label_of = {category.id: label for label, category in enumerate(categories, start=1)}
    labels = np.array([0, *(label_of[category.id] for category in file.categories)], np.int64)
    return file._replace(categories=tuple(categories), labels=labels[file.labels])


def image_folder(root: Path, name: str, entries: Sequence[ImageEntry]) -> Path:
    """The folder of the images of a file of annotations: the first of the usual ones that has the first image.

    Raises: DataError if none of them exists.
    """
    own = Path(name).stem.removeprefix("instances_")
    usual = (root / own, root / "images" / own, root / "images", root)
    present = [folder for folder in usual[:-1] if is_directory(folder)]
    with_image = [folder for folder in usual if entries and _is_file(folder / entries[0].name)]
    if not (with_image or present):
        raise DataError(f"{printable(root)} has no images of {name}: put them into {printable(usual[0])}")
    return (with_image or present)[0]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def part_of(file: AnnotationFile, folder: Path) -> AnnotatedImages:
    """The part that a file of annotations describes, its objects in the order of its images."""
    order = np.argsort(file.images, kind="stable")
    numbers = np.bincount(file.images, minlength=len(file.entries))
    x, y, width, height = file.boxes[order].T
    names = tuple(entry.name for entry in file.entries)
    sizes = np.array([(entry.height, entry.width) for entry in file.entries], np.int64).reshape(-1, 2)
    return AnnotatedImages(
        categories=file.categories,
        ids=tuple(entry.id for entry in file.entries),
        names=names,
        sizes=sizes,
        objects=Annotations(
            starts=np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers)]).astype(np.int64),
            boxes=np.stack([x, y, x + width, y + height], axis=1),
            labels=file.labels[order],
            ignore=file.crowd[order],
            areas=file.areas[order],
            ids=tuple(file.ids[k] for k in order.tolist()),
            masks=tuple(file.masks[k] for k in order.tolist()) if file.masks else (),
        ),
        read=partial(read_pixels, folder, names, sizes),
        root=folder,
    )


def read_pixels(folder: Path, names: Sequence[str], sizes: NDArray[np.int64], k: int) -> NDArray[np.uint8]:
    """The pixels of image k, upright or as stored, whichever has the annotated size.

    Shape: (h, w, 3).
    Raises: DataError.
    """
    file = folder / names[k]
    try:
        whole = content(file)
        lie = lie_of(header(whole), width=int(sizes[k, 1]), height=int(sizes[k, 0]))
        return np.ascontiguousarray(proportioned(pixels(whole, lie=lie)).transpose(1, 2, 0))
    except DataError as error:
        raise UnreadableImage(f"{printable(file)} cannot be used: {error}", file=str(file)) from None
