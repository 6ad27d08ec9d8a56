"""A check of images with masks: every pair opened."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from resatlas.data.complaints import Complaint
from resatlas.data.listing import printable
from resatlas.data.segments import VOID, Pair, is_segmented, listed, part_of, read_classes
from resatlas.data.shared_images import shared_images
from resatlas.data.voc_segments import voc_classes, voc_pairs
from resatlas.errors import DataError
from resatlas.values.cores import cores
from resatlas.values.threaded import threaded


@dataclass(frozen=True, kw_only=True)
class CheckedMasks:
    """The numbers of a part: images, those of ground alone, with pixels that do not count, and with each class."""

    images: int
    ground_alone: int
    void: int
    classes: dict[str, int]


def checked_masks(
    root: Path, faults: list[Complaint], *, on_image: Callable[[int, int], None]
) -> dict[str, CheckedMasks]:
    """The numbers of each part below a root, every image and mask opened; what is wrong is added to the faults.

    Raises: DataError if a folder or the classes are missing, or an image has no mask.
    """
    if is_segmented(root):
        classes, parts = read_classes(root / "classes.txt"), listed(root)
    else:
        classes, parts = voc_classes(root), voc_pairs(root)
    done = 0
    total = sum(map(len, parts.values()))
    result: dict[str, CheckedMasks] = {}
    whole = {}
    for role, pairs in parts.items():
        seen: list[frozenset[int]] = []
        for pair, outcome in zip(
            pairs, threaded(partial(_classes_in, root, classes), pairs, threads=cores()), strict=True
        ):
            done += 1
            on_image(done, total)
            if isinstance(outcome, str):
                faults.append(Complaint(str(root / pair.image), "", outcome, "refused"))
            else:
                seen.append(outcome)
        if len(seen) == len(pairs):
            whole[role] = part_of(root, pairs, classes)
        counts = Counter(value for values in seen for value in values)
        result[role] = CheckedMasks(
            images=len(pairs),
            ground_alone=sum(values <= {0, VOID} for values in seen),
            void=counts[VOID],
            classes={printable(name): counts[k] for k, name in enumerate(classes)},
        )
    faults += shared_images(whole)
    return result


def _classes_in(root: Path, classes: tuple[str, ...], pair: Pair) -> frozenset[int] | str:
    """The values of a mask, or what is wrong with it or its image."""
    try:
        part = part_of(root, (pair,), classes)
        part.read(0)
        assert part.pixels is not None  # noqa: S101 - as part_of makes it
        return frozenset(np.unique(part.pixels.read(0)).tolist())
    except DataError as error:
        return str(error).removeprefix(f"{root / pair.image}: ")
