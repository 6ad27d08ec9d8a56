"""Images in the user's folder: root/train/CLASS/*.jpg, root/val/CLASS/*.jpg, perhaps test; or root/CLASS/*.jpg."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageFiles, Parts
from resatlas.data.layouts import Layout, Role, found_layout
from resatlas.data.listing import (
    UNREAD,
    Found,
    below,
    composed,
    contents,
    in_order,
    is_image,
    is_line,
    printable,
    with_code_points,
)
from resatlas.errors import DataError, UsageError, unknown

if TYPE_CHECKING:  # describing a folder needs no numpy
    import numpy as np
    from numpy.typing import NDArray

_SIZES = (8, 1024)

TESTED = 20
"""Percent of each class that are tested on if the folder has no test part; the default of the knob."""

UNFIT = "a class whose name is not UTF-8 without control characters; rename it"


def folder(root: Path, *, size: int = 224, tested: int = TESTED) -> DataSet:
    """The images below `root`: one folder per part, in it one folder per class; resized to `size` pixels a side.

    Classes are the folders of train in the order of their bytes, with names in composed Unicode. Links are followed;
    hidden files and files without an ending of images are skipped; no image is opened. With val and test, val is for
    validation; with only one of them, it is for the test. With neither, or with class folders only, `tested` percent of
    each class are for the test, drawn by their names; with 100, all are.

    Raises: UsageError if the size is outside 8…1024, or `tested` is outside 1…100 or has no effect; DataError if the
        folders have another layout.
    """
    check_size(size)
    layout: Layout = found_layout(root)
    _check_tested(root, layout, tested)
    if "test" not in layout and tested == 100:
        layout = {"test": layout["train"]}
    first = layout.get("train", layout.get("test", ""))
    classes = tuple(class_folders(root / first))
    if len(classes) < 2:
        raise DataError(f"{printable(root / first)} needs at least two class folders; it has only {classes[0]}")
    return DataSet(
        name=str(root),
        image=Shape(3, size, size),
        classes=classes,
        mirror="allowed",
        note=f"images of a folder, {_tested_on(layout, tested)}; mirrored images are assumed to keep their class",
        serves="training" if "train" in layout else "testing",
        read=partial(read, root, layout, classes=classes, size=size, tested=tested),
    )


def check_size(size: int) -> None:
    """Check the size of photographs.

    Raises: UsageError.
    """
    least, most = _SIZES
    if not least <= size <= most:
        raise UsageError(f"photographs are resized to {least} to {most:,} pixels per side; got {size:,}")


def _check_tested(root: Path, layout: Layout, tested: int) -> None:
    """Check that `tested` is a percentage and has an effect.

    Raises: UsageError.
    """
    if not 1 <= tested <= 100:
        raise UsageError(f"tested is a percentage of each class from 1 to 100; got {tested}")
    if "test" in layout and tested != TESTED:
        raise UsageError(f"{printable(root)} has the test part {layout['test']}; tested={tested} has no effect")


def _tested_on(layout: Layout, tested: int) -> str:
    """The test images of a layout, in words."""
    if "test" in layout:
        return f"tested on its {layout['test']}" if layout["test"] else "all for the test"
    return f"tested on {tested} % of each class, which are drawn by their names and not trained on"


def class_folders(part: Path) -> dict[str, str]:
    """The class folders of a part by the composed names of the classes, in the order of their bytes.

    Raises: DataError if there are none, a name is not text, or two names differ only in their composition.
    """
    files, folders = contents(part)
    if not folders:
        loose = any(map(is_image, files))
        raise DataError(
            f"{printable(part)} needs one folder per class; it has no folders"
            + (", and images directly in it" if loose else "")
        )
    by_class: dict[str, str] = {}
    for name in in_order(folders):
        if not is_line(name):
            raise DataError(f"{printable(part / name)} is {UNFIT}")
        if (other := by_class.setdefault(composed(name), name)) != name:
            raise DataError(
                f"{printable(part)} has two class folders of the same name, {with_code_points(other)} and "
                f"{with_code_points(name)}; put their images into one"
            )
    return {name: by_class[name] for name in in_order(by_class)}


def read(root: Path, layout: Layout, *, classes: tuple[str, ...], size: int, tested: int = TESTED) -> Parts:
    """The parts of the layout, listed but not opened.

    Raises: DataError if a class has no training image, or a part has no image or a class that train lacks.
    """
    import numpy as np

    parts: dict[Role, ImageFiles] = {}
    notes: list[str] = []
    for role, name in layout.items():
        parts[role], left = part(root / name, classes, size)
        notes += left
    if "train" in parts:
        train = parts["train"]
        counts = np.bincount(train.labels, minlength=len(classes))
        empty = [printable(name) for name, count in zip(classes, counts, strict=True) if count == 0]
        if empty:
            raise DataError(
                f"{printable(train.root)} has classes without an image: {', '.join(empty[:5])}" + _because(notes)
            )
    if "test" not in parts:
        whole = parts["train"]
        parts["train"], parts["test"] = _held_out(whole, tested)
        notes.append(
            f"{len(parts['test']):,} of {len(whole):,} images are held out for the test, {tested} % of each class: "
            f"{printable(root)} has no test part"
        )
    test = parts["test"]
    train = parts.get("train") or _renumbered(test, np.arange(0))
    return Parts(train=train, test=test, validation=parts.get("validation"), notes=tuple(notes))


def part(folder: Path, classes: tuple[str, ...], size: int) -> tuple[ImageFiles, list[str]]:
    """The images of one part, by class and then in the order of their bytes; and notes on skipped files.

    Raises: DataError as `read`.
    """
    import numpy as np

    own = class_folders(folder)
    for name in in_order(set(own).difference(classes)):
        raise DataError(f"{printable(folder / name)} is out of place: train has {unknown('class', name, classes)}")
    entries = {name: _listed(folder, own[name]) if name in own else () for name in classes}
    files = [tuple(file for file, kind in entries[name] if kind == "image") for name in classes]
    notes = list(_left_out(folder, own, entries))
    n = sum(map(len, files))
    if n == 0:
        raise DataError(f"{printable(folder)} has class folders without a single image{_because(notes)}")
    return ImageFiles(
        root=folder,
        files=tuple(chain.from_iterable(files)),
        labels=np.repeat(np.arange(len(classes)), list(map(len, files))),
        ids=np.arange(n),
        size=size,
    ), notes


def _listed(part: Path, name: str) -> tuple[Found, ...]:
    """The entries of the folder of one class, named relative to the part's folder.

    Raises: DataError if a folder cannot be listed.
    """
    folder = part / name
    entries = below(folder, apart_from=(part, part.parent))
    for inner, kind in entries:
        if kind == "closed":
            raise DataError(f"{printable(folder / inner)} cannot be listed")
    return tuple(Found(f"{name}/{inner}", kind) for inner, kind in entries)


def _left_out(folder: Path, own: dict[str, str], entries: dict[str, tuple[Found, ...]]) -> Iterator[str]:
    """A sentence for every kind of skipped images of a part, and for every class name that was composed."""
    files = [file for of_class in entries.values() for file, kind in of_class if kind == "other"]
    unread = [file for file in files if file.lower().endswith(UNREAD)]
    if unread:
        counts = Counter(os.path.splitext(file)[1].lower() for file in unread)  # noqa: PTH122 - a text
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(counts.items()))
        yield (
            f"in {printable(folder.name)} {_count(unread, 'file')} not read ({kinds}), such as {printable(unread[0])}: "
            "convert to PNG (resatlas data check lists all)"
        )
    if strays := [name for name in contents(folder)[0] if is_image(name)]:
        example = printable(min(strays))
        yield f"in {printable(folder.name)} {_count(strays, 'image')} skipped, in no class folder, such as {example}"
    for name, spelled in own.items():
        if name != spelled:
            yield f"{with_code_points(spelled)} of {printable(folder.name)} is the class {with_code_points(name)}"


def _count(names: Iterable[str], word: str) -> str:
    count = len(list(names))
    return f"{count:,} {word}{'s are' if count > 1 else ' is'}"


def _because(notes: list[str]) -> str:
    return f"; {'; '.join(notes)}" if notes else ""


def _held_out(files: ImageFiles, percent: int) -> tuple[ImageFiles, ImageFiles]:
    """(training images, test images); the test images are drawn class by class.

    Raises: DataError if no class has two images.
    """
    import numpy as np

    by_class = (np.flatnonzero(files.labels == label) for label in np.unique(files.labels))
    chosen = set(chain.from_iterable(drawn([files.files[k] for k in places], percent) for places in by_class))
    tested = np.array([name in chosen for name in files.files])
    if not chosen:
        raise DataError(f"{printable(files.root)} has one image per class, and none to test on")
    return _renumbered(files, np.flatnonzero(~tested)), _renumbered(files, np.flatnonzero(tested))


def drawn(names: Sequence[str], percent: int) -> tuple[str, ...]:
    """floor(percent·n/100 + 1/2) of the n images of a class, at least 1 of 2 and never all.

    The selection depends only on the names, so an additional image changes it little.
    """
    count = min(max((percent * len(names) + 50) // 100, 1), max(len(names) - 1, 0))
    return tuple(sorted(names, key=lambda name: blake2b(os.fsencode(name), digest_size=8).digest())[:count])


def _renumbered(files: ImageFiles, places: "NDArray[np.int64]") -> ImageFiles:
    """The files at these positions as a new part with ids from 0."""
    import numpy as np

    subset = files.take(places)
    return replace(subset, ids=np.arange(len(subset)))


def substitute(files: ImageFiles, k: int) -> Iterator[int]:
    """Positions of the other images of image k's class: those after it, then those before it.

    Substitutes for an unreadable image are tried in this order, which depends only on the part.
    """
    import numpy as np

    same_class = np.flatnonzero(files.labels == files.labels[k])
    place = int(np.searchsorted(same_class, k))
    yield from np.roll(same_class, -place)[1:].tolist()
