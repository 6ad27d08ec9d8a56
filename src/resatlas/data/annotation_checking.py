"""A check of images with annotations: every fault of a file of annotations, and every image opened."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resatlas.data.boxes import AnnotatedImages, names_of
from resatlas.data.coco import image_folder, is_coco, other_categories, part_files, part_of, read_file
from resatlas.data.complaints import Complaint, Effect
from resatlas.data.listing import printable
from resatlas.data.mask_checking import checked_masks
from resatlas.data.photograph import content, header, lie_of, pixels, proportioned
from resatlas.data.segments import is_segmented
from resatlas.data.shared_images import shared_images
from resatlas.data.voc import is_voc, part_lists, read_part, voc
from resatlas.data.voc_segments import LISTS, is_voc_segmented
from resatlas.errors import DataError
from resatlas.values.cores import cores
from resatlas.values.progress import silent
from resatlas.values.threaded import threaded


@dataclass(frozen=True, kw_only=True)
class CheckedPart:
    """The numbers of a part: images, those without objects, objects of each category by name, crowds or difficult ones.

    Of classes of pixels, the images in which a class occurs, and those with pixels that do not count.
    """

    images: int
    empty: int
    ignored: int
    objects: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class CheckedAnnotations:
    """The numbers of each part, and all faults in the order of parts and files."""

    parts: dict[str, CheckedPart]
    faults: tuple[Complaint, ...]


def is_annotated(root: Path) -> bool:
    """Whether a folder has annotations in COCO's or VOC's layout, or masks with the classes of pixels."""
    return is_coco(root) or is_voc(root) or is_voc_segmented(root) or is_segmented(root)


def checked_annotations(root: Path, *, on_image: Callable[[int, int], None] = silent) -> CheckedAnnotations:
    """All annotations below a folder read, and every image opened by as many threads as there are cores.

    `on_image` is called after each image with the number opened so far and the total.

    Raises: DataError if the folder cannot be listed, or has no part to test on.
    """
    faults: list[Complaint] = []
    if not (is_coco(root) or is_voc(root)):
        return CheckedAnnotations(
            parts=_pixel_parts(root, faults, on_image=on_image), faults=_named_below(root, faults)
        )
    parts = dict((_coco_parts if is_coco(root) else _voc_parts)(root, faults))
    faults += shared_images(parts)
    total, done = sum(map(len, parts.values())), 0
    for part in parts.values():
        for k, reason in enumerate(threaded(partial(_image_fault, part), range(len(part)), threads=cores())):
            done += 1
            on_image(done, total)
            if reason:
                file = part.names[k] if part.root is None else str(part.root / part.names[k])
                faults.append(Complaint(file, "", reason[0], reason[1]))
    counts = {name: _counts(part) for name, part in parts.items()}
    if is_voc(root) and is_voc_segmented(root):
        masks = _pixel_parts(root, faults, on_image=on_image)
        counts |= {f"{LISTS} {role}": part for role, part in masks.items()}
    return CheckedAnnotations(parts=counts, faults=_named_below(root, faults))


def _pixel_parts(
    root: Path, faults: list[Complaint], *, on_image: Callable[[int, int], None]
) -> dict[str, CheckedPart]:
    return {
        name: CheckedPart(images=part.images, empty=part.ground_alone, ignored=part.void, objects=part.classes)
        for name, part in checked_masks(root, faults, on_image=on_image).items()
    }


def _named_below(root: Path, faults: Sequence[Complaint]) -> tuple[Complaint, ...]:
    return tuple(fault._replace(file=_below(root, fault.file)) for fault in faults)


def _below(root: Path, file: str) -> str:
    return str(Path(file).relative_to(root)) if Path(file).is_relative_to(root) else file


def _coco_parts(root: Path, faults: list[Complaint]) -> Iterator[tuple[str, AnnotatedImages]]:
    first: AnnotatedImages | None = None
    for role, name in part_files(root).items():
        try:
            file = read_file(root / name, masks="with masks")
            faults += [*file.complaints, *other_categories(root / name, file, first)]
            part = part_of(file, image_folder(root, name, file.entries))
        except DataError as error:
            faults.append(Complaint(str(root / name), "", str(error).removeprefix(f"{root / name} "), "refused"))
            continue
        first = part if first is None else first
        yield role, part


def _voc_parts(root: Path, faults: list[Complaint]) -> Iterator[tuple[str, AnnotatedImages]]:
    categories = voc(root).categories
    for part in part_lists(root).values():
        file = read_part(root, part, categories)
        faults += file.complaints
        yield part, part_of(file, root / "JPEGImages")


def mismatch(part: AnnotatedImages, k: int) -> str:
    """What is wrong with the size of image k, or with its mask; "" if nothing is, or its file cannot be opened."""
    if part.root is None:
        return ""
    file = part.root / part.names[k]
    try:
        head = header(content(file))
    except DataError:
        return ""
    height, width = part.sizes[k].tolist()
    try:
        if part.pixels is not None:
            part.pixels.read(k)
        lie_of(head, width=width, height=height)
    except DataError as error:
        return f"{printable(file)}: {error}"
    return ""


def _image_fault(part: AnnotatedImages, k: int) -> tuple[str, Effect] | None:
    """What is wrong with image k, and what that does."""
    height, width = part.sizes[k].tolist()
    try:
        whole = content((part.root or Path()) / part.names[k])
    except DataError as error:
        return f"{error}; add the image, or take it and its objects out of the annotations", "refused"
    try:
        head = header(whole)
        lie = lie_of(head, width=width, height=height)
        proportioned(pixels(whole, lie=lie))
    except DataError as error:
        return str(error), "refused"
    if head.orientation == 1:
        return None
    if lie == "stored":
        return f"EXIF orientation {head.orientation}, but annotated as stored: its pixels are not turned", "noted"
    if head.upright == (head.width, head.height):
        return (
            f"EXIF orientation {head.orientation}, which its annotated size does not decide: its pixels are turned; "
            "save it upright if its boxes are wrong then",
            "noted",
        )
    return None


def _counts(part: AnnotatedImages) -> CheckedPart:
    import numpy as np

    labels, counts = np.unique_counts(part.objects.labels)
    names = tuple(map(printable, names_of(part.categories)))
    objects = Counter(dict.fromkeys(names, 0))
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        objects[names[label - 1]] += count
    return CheckedPart(
        images=len(part),
        empty=int((np.diff(part.objects.starts) == 0).sum()),
        ignored=int(part.objects.ignore.sum()),
        objects=dict(objects),
    )
