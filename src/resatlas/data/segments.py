"""Photographs with a class for every pixel: `images/PART/*.jpg` and `masks/PART/*.png` of the same names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resatlas.data.box_arrays import box_of
from resatlas.data.boxes import AnnotatedImages, AnnotatedParts, Annotations, Category, DetectionData
from resatlas.data.complaints import notes_on, refuse
from resatlas.data.layouts import Layout, Role, found_parts
from resatlas.data.listing import contents, in_order, is_directory, is_image, printable
from resatlas.data.photograph import Lie, content, header, opened, pixels, proportioned
from resatlas.data.shared_images import shared_images
from resatlas.errors import DataError, UnreadableImage
from resatlas.values.reading import text

if TYPE_CHECKING:  # describing a data set needs no torch
    from torch import Tensor

VOID = 255
"""The value of pixels that do not count. Source: VOC 2012 development kit, whose object borders have it."""

_MOST_NAMES = 1 << 16  # bytes of classes.txt


@dataclass(frozen=True, kw_only=True)
class MaskFiles:
    """A file for each image, whose values are the classes of the pixels, counted from 0; 255 does not count."""

    root: Path
    files: tuple[str, ...]
    classes: int

    def read(self, k: int) -> NDArray[np.uint8]:
        """The class of each pixel of image k.

        Shape: (h, w).
        Raises: DataError.
        """
        return mask_values(self.root / self.files[k], self.classes)

    def content(self, k: int) -> bytes:
        """The bytes of the file of image k.

        Raises: DataError.
        """
        file = self.root / self.files[k]
        try:
            return content(file)
        except DataError as error:
            raise DataError(f"the mask {printable(file)} cannot be used: {error}") from None

    def take(self, positions: Sequence[int]) -> "MaskFiles":
        """The files of the images at these positions."""
        return replace(self, files=tuple(self.files[k] for k in positions))


def regions(values: NDArray[np.uint8]) -> "dict[str, Tensor]":
    """The classes of pixels as objects of a target: one for each class that occurs but 0, the ground.

    Pixels that do not count are an object to be ignored.

    Shape: values (h, w).
    """
    import torch

    present = [value for value in np.unique(values).tolist() if value]
    masks = (values[None] == np.array(present, np.uint8)[:, None, None]).astype(np.uint8)
    return {
        "boxes": torch.tensor([box_of(mask) for mask in masks], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(present, dtype=torch.int64),
        "ignore": torch.tensor([value == VOID for value in present], dtype=torch.bool),
        "masks": torch.from_numpy(masks),
    }


def is_segmented(root: Path) -> bool:
    """Whether a folder has images and masks for segmentation."""
    try:
        return is_directory(root / "images") and is_directory(root / "masks") and (root / "classes.txt").is_file()
    except (OSError, ValueError):
        return False


def segmented(root: Path) -> DetectionData:
    """The images below `root` with a class for every pixel; val is for the test if there is no test.

    `classes.txt` has a name on each line: a pixel of value k belongs to the k-th, counted from 0; 255 does not count.

    Raises: DataError if the classes are missing.
    """
    ground, *others = read_classes(root / "classes.txt")
    return DetectionData(
        name=str(root),
        channels=3,
        categories=tuple(Category(k, name) for k, name in enumerate(others, start=1)),
        mirror="allowed",
        note="images with the class of each pixel in a mask; mirrored pixels are assumed to keep their class",
        annotated="pixels",
        ground=ground,
        read=partial(read_segmented, root),
    )


def read_segmented(root: Path) -> AnnotatedParts:
    """The parts of images with masks; of each mask its size has been read, and no image opened.

    Raises: DataError if a folder is missing, an image has no mask, or a file is not an image.
    """
    return parts_of(root, listed(root), read_classes(root / "classes.txt"))


def parts_of(root: Path, pairs: Mapping[Role, Sequence["Pair"]], classes: Sequence[str]) -> AnnotatedParts:
    """The parts of these images with masks.

    Raises: DataError if a mask is not an image, or an image is in two parts.
    """
    parts = {role: part_of(root, own, classes) for role, own in pairs.items()}
    complaints = list(shared_images(parts))
    refuse(complaints, root)
    train = parts.get("train") or parts["test"].without_images()
    return AnnotatedParts(
        train=train, test=parts["test"], validation=parts.get("validation"), notes=notes_on(complaints)
    )


class Pair(NamedTuple):
    """An image and its mask, below the root."""

    image: str
    mask: str


def listed(root: Path) -> dict[Role, tuple[Pair, ...]]:
    """The images of each part with their masks, none of them opened.

    Raises: DataError if a folder is missing, an image has no mask, or a mask no image.
    """
    layout: Layout = found_parts(root / "images")
    return {role: _pairs(root, name) for role, name in layout.items()}


def read_classes(file: Path) -> tuple[str, ...]:
    """The names of the classes, one a line.

    Raises: DataError if they cannot be read, are fewer than two, more than 255, or a name stands twice.
    """
    try:
        names = tuple(line.strip() for line in text(file, most=_MOST_NAMES).splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise DataError(f"{printable(file)} cannot be read: {reason}; write a class on each line") from None
    if not 2 <= len(names) <= VOID or len(set(names)) != len(names):
        raise DataError(f"{printable(file)} needs 2 to {VOID} different names, one on each line; it has {len(names)}")
    return names


def _pairs(root: Path, name: str) -> tuple[Pair, ...]:
    images = in_order(file for file in contents(root / "images" / name)[0] if is_image(file))
    by_stem = {Path(file).stem: file for file in contents(root / "masks" / name)[0] if file.lower().endswith(".png")}
    if not images:
        raise DataError(f"{printable(root / 'images' / name)} has no image")
    missing = [file for file in images if Path(file).stem not in by_stem]
    if missing:
        image, mask = root / "images" / name / missing[0], root / "masks" / name / f"{Path(missing[0]).stem}.png"
        count = f"{len(missing):,} of {len(images):,} lack one"
        raise DataError(f"{printable(image)} has no mask; add {printable(mask)} ({count})")
    if alone := sorted(by_stem.keys() - {Path(file).stem for file in images}):
        mask = root / "masks" / name / by_stem[alone[0]]
        count = f"{len(alone):,} of {len(by_stem):,} lack one"
        raise DataError(f"{printable(mask)} has no image in {printable(root / 'images' / name)}; add it ({count})")
    return tuple(Pair(f"images/{name}/{file}", f"masks/{name}/{by_stem[Path(file).stem]}") for file in images)


def part_of(root: Path, pairs: Sequence[Pair], classes: Sequence[str]) -> AnnotatedImages:
    """The part of these images, whose sizes are those of their masks.

    Raises: DataError if a mask cannot be read as an image.
    """
    masks = MaskFiles(root=root, files=tuple(pair.mask for pair in pairs), classes=len(classes))
    names = tuple(pair.image for pair in pairs)
    sizes = np.array([_size(masks, k) for k in range(len(pairs))], np.int64).reshape(-1, 2)
    return AnnotatedImages(
        categories=tuple(Category(k, name) for k, name in enumerate(classes[1:], start=1)),
        ids=names,
        names=names,
        sizes=sizes,
        objects=Annotations(
            starts=np.zeros(len(pairs) + 1, np.int64),
            boxes=np.zeros((0, 4)),
            labels=np.zeros(0, np.int64),
            ignore=np.zeros(0, np.bool_),
            areas=np.zeros(0),
            ids=(),
        ),
        read=partial(_read, root, names, sizes),
        root=root,
        pixels=masks,
        ground=classes[0],
    )


def _size(masks: MaskFiles, k: int) -> tuple[int, int]:
    """Height and width of a mask, as it is stored."""
    whole = masks.content(k)
    try:
        head = header(whole)
    except DataError as error:
        raise DataError(f"the mask {printable(masks.root / masks.files[k])} cannot be used: {error}") from None
    return head.height, head.width


def _read(root: Path, names: Sequence[str], sizes: NDArray[np.int64], k: int) -> NDArray[np.uint8]:
    """The pixels of image k, upright or as stored, whichever has the size of its mask.

    Shape: (h, w, 3).
    Raises: UnreadableImage.
    """
    file, (height, width) = root / names[k], sizes[k].tolist()
    try:
        whole = content(file)
        head = header(whole)
        lies: dict[Lie, tuple[int, int]] = {"upright": head.upright, "stored": (head.width, head.height)}
        lie = next((lie for lie, sides in lies.items() if sides == (width, height)), None)
        if lie is None:
            sides = f"{head.upright[0]} x {head.upright[1]} pixels, its mask {width} x {height}"
            raise DataError(f"{sides}; draw the mask at the image's size")
        return np.ascontiguousarray(proportioned(pixels(whole, lie=lie)).transpose(1, 2, 0))
    except DataError as error:
        raise UnreadableImage(f"{printable(file)}: {error}", file=str(file)) from None


def mask_values(file: Path, classes: int) -> NDArray[np.uint8]:
    """The values of a PNG of grey levels or of a palette, as they are stored.

    Shape: (h, w).
    Raises: DataError, with the file, if it has colours, or values that are neither a class nor 255.
    """
    try:
        with opened(content(file)) as image:
            image.load()
            if image.mode not in ("L", "P", "1"):
                raise DataError(f"a mask has 8-bit grey levels or a palette; it has the mode {image.mode}")
            values = np.array(image.convert("L") if image.mode == "1" else image, np.uint8)
            values = values // VOID if image.mode == "1" else values
    except (DataError, MemoryError) as error:
        raise DataError(f"the mask {printable(file)} cannot be used: {error}") from None
    except Exception as error:  # damage makes Pillow raise nearly anything
        reason = printable(str(error)) or type(error).__name__
        raise DataError(f"the mask {printable(file)} cannot be used: {reason}") from None
    unknown = values[(values >= classes) & (values != VOID)]
    if len(unknown):
        raise DataError(
            f"the mask {printable(file)} has the value {int(unknown[0])}, where {classes} classes have 0 to "
            f"{classes - 1} and {VOID} does not count"
        )
    return values


def write_mask(file: Path, values: NDArray[np.uint8]) -> None:
    """Write the class of each pixel as a PNG that `mask_values` reads.

    Shape: values (h, w).
    """
    Image.fromarray(values).save(file, format="PNG")
