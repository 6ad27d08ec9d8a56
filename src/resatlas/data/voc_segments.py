"""The class of each pixel in VOC's layout: `JPEGImages`, `SegmentationClass/*.png` and `ImageSets/Segmentation`."""

from functools import partial
from pathlib import Path

from resatlas.data.boxes import AnnotatedParts, Category, DetectionData
from resatlas.data.layouts import Role
from resatlas.data.listing import contents, is_directory, printable
from resatlas.data.segments import Pair, parts_of, read_classes
from resatlas.data.voc import CLASSES, image_named, names_in, part_lists
from resatlas.errors import DataError

LISTS = "Segmentation"
"""The folder of ImageSets with the names of the images that have a class for every pixel."""

_MASKS = "SegmentationClass"


def is_voc_segmented(root: Path) -> bool:
    """Whether a folder has VOC's layout of segmentation: `SegmentationClass` and `ImageSets/Segmentation`."""
    return is_directory(root / _MASKS) and is_directory(root / "ImageSets" / LISTS)


def voc_segmented(root: Path) -> DetectionData:
    """The images below `root`, such as VOCdevkit/VOC2012, with a class for every pixel.

    With a list test, trainval is for training, or train if that is missing; else train is for training and val for the
    test. A pixel of a mask is the number of its class: 0 for the background, 1 to 20 for VOC's classes in its order,
    and 255, as on the borders of objects, for what does not count. A file classes.txt beside the folders has other
    names, one a line, the first for 0.

    Raises: DataError if a list is missing.
    Source: The PASCAL Visual Object Classes Challenge 2012, development kit, section 4.2.
    """
    lists = part_lists(root, lists=LISTS)
    ground, *others = voc_classes(root)
    return DetectionData(
        name=str(root),
        channels=3,
        categories=tuple(Category(k, name) for k, name in enumerate(others, start=1)),
        mirror="allowed",
        note=f"images with VOC's masks of classes, {' and '.join(lists.values())}; mirrored pixels are assumed to keep "
        "their class",
        annotated="pixels",
        ground=ground,
        read=partial(_read, root),
    )


def voc_classes(root: Path) -> tuple[str, ...]:
    """The names of the classes, the background first: those of classes.txt, or VOC's.

    Raises: DataError if classes.txt cannot be used.
    """
    file = root / "classes.txt"
    return read_classes(file) if file.is_file() else ("background", *CLASSES)


def voc_pairs(root: Path) -> dict[Role, tuple[Pair, ...]]:
    """The images of each part with their masks, none of them opened.

    Raises: DataError if an image or a mask of a list is missing.
    """
    masks, images = (frozenset(contents(root / folder)[0]) for folder in (_MASKS, "JPEGImages"))
    parts: dict[Role, tuple[Pair, ...]] = {}
    for role, part in part_lists(root, lists=LISTS).items():
        pairs: list[Pair] = []
        for name in names_in(root, part, lists=LISTS):
            image = image_named(images, name)
            if f"{name}.png" not in masks or image is None:
                lacking = (
                    root / ("JPEGImages" if image is None else _MASKS) / f"{name}{'.jpg' if image is None else '.png'}"
                )
                named = root / "ImageSets" / LISTS / f"{part}.txt"
                raise DataError(f"{printable(lacking)} is missing; add it, or take {name} from {printable(named)}")
            pairs.append(Pair(f"JPEGImages/{image}", f"{_MASKS}/{name}.png"))
        parts[role] = tuple(pairs)
    return parts


def _read(root: Path) -> AnnotatedParts:
    return parts_of(root, voc_pairs(root), voc_classes(root))
