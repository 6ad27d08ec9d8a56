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
    shown,
    with_code_points,
)
from resatlas.errors import DataError, UsageError, unknown

if TYPE_CHECKING:  # describing a folder needs no numpy
    import numpy as np
    from numpy.typing import NDArray

SIZES = (8, 1024)

TESTED = 20
"""Percent of each class that are tested on if the folder has no test part; the default of the knob."""

UNFIT = "a class whose name is not UTF-8 without control characters; rename it"


def folder(root: Path, *, size: int = 224, tested: int = TESTED) -> DataSet:
    """The images below `root`: one folder per part, in it one folder per class; resized to `size` pixels a side.

    Classes are the folders of train, in the order of their bytes, their names in composed Unicode. Links are followed,
    hidden files left out, and files that do not end as images; no image is opened. With val and test, val is for
    validation; either of them alone is tested on. Where there is neither, `tested` percent of each class are, drawn by
    their names; of class folders without a train likewise, and at 100 all.

    Raises: UsageError if the size is outside 8…1024, or `tested` outside 1…100 or given in vain; DataError if the
        folders are not laid out so.
    """
    check_size(size)
    layout: Layout = found_layout(root)
    check_tested(root, layout, tested)
    if "test" not in layout and tested == 100:
        layout = {"test": layout["train"]}
    first = layout.get("train", layout.get("test", ""))
    classes = tuple(class_folders(root / first))
    if len(classes) < 2:
        raise DataError(f"{shown(root / first)} should have two class folders or more; it has {classes[0]} alone")
    return DataSet(
        name=str(root),
        image=Shape(3, size, size),
        classes=classes,
        mirror="allowed",
        note=f"images of a folder, {tested_on(layout, tested)}; mirrored images are taken to show their class",
        serves="training" if "train" in layout else "testing",
        read=partial(read, root, layout, classes=classes, size=size, tested=tested),
    )


def check_size(size: int) -> None:
    """Refuses a size that no photograph is shown with.

    Raises: UsageError.
    """
    least, most = SIZES
    if not least <= size <= most:
        raise UsageError(f"photographs are shown with {least} to {most:,} pixels a side; got {size:,}")


def check_tested(root: Path, layout: Layout, tested: int) -> None:
    """Refuses a `tested` that is not a percentage, or that has no effect.

    Raises: UsageError.
    """
    if not 1 <= tested <= 100:
        raise UsageError(f"tested is a percentage of each class from 1 to 100; got {tested}")
    if "test" in layout and tested != TESTED:
        raise UsageError(f"{shown(root)} is tested on its {layout['test']}; tested={tested} has nothing to draw from")


def tested_on(layout: Layout, tested: int) -> str:
    """The test images of a layout, in words."""
    if "test" in layout:
        return f"tested on its {layout['test']}" if layout["test"] else "all tested on"
    return f"tested on {tested} % of each class, which are drawn by their names and not learnt from"


def class_folders(part: Path) -> dict[str, str]:
    """The class folders of a part by the names of the classes, which are composed, in the order of their bytes.

    Raises: DataError if there are none, a name is not text, or two differ in nothing but how they are composed.
    """
    files, folders = contents(part)
    if not folders:
        lying = any(map(is_image, files))
        raise DataError(
            f"{shown(part)} should have a folder a class; it has no folders"
            + (", and images that lie in it directly" if lying else "")
        )
    by_class: dict[str, str] = {}
    for name in in_order(folders):
        if not is_line(name):
            raise DataError(f"{shown(part / name)} is {UNFIT}")
        if (other := by_class.setdefault(composed(name), name)) != name:
            raise DataError(
                f"{shown(part)} has two class folders of one name, {with_code_points(other)} and "
                f"{with_code_points(name)}; put their images into one"
            )
    return {name: by_class[name] for name in in_order(by_class)}


def read(root: Path, layout: Layout, *, classes: tuple[str, ...], size: int, tested: int = TESTED) -> Parts:
    """The parts of the layout, listed and not opened.

    Raises: DataError if a class has no image to learn from, a part has none at all or a class that train has not.
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
        empty = [shown(name) for name, count in zip(classes, counts, strict=True) if count == 0]
        if empty:
            raise DataError(
                f"{shown(train.root)} has classes without an image: {', '.join(empty[:5])}" + _because(notes)
            )
    if "test" not in parts:
        whole = parts["train"]
        parts["train"], parts["test"] = drawn_apart(whole, tested)
        notes.append(
            f"{len(parts['test']):,} of {len(whole):,} images are set apart for the test, {tested} % of each class: "
            f"{shown(root)} has no part of its own to test on"
        )
    test = parts["test"]
    train = parts.get("train") or renumbered(test, np.arange(0))
    return Parts(train=train, test=test, validation=parts.get("validation"), notes=tuple(notes))


def part(folder: Path, classes: tuple[str, ...], size: int) -> tuple[ImageFiles, list[str]]:
    """The images of one part, by class and then in the order of their bytes; and sentences on what is left out.

    Raises: DataError as `read`.
    """
    import numpy as np

    own = class_folders(folder)
    for name in in_order(set(own).difference(classes)):
        raise DataError(f"{shown(folder / name)} is out of place: train has {unknown('class', name, classes)}")
    entries = {name: listed(folder, own[name]) if name in own else () for name in classes}
    files = [tuple(file for file, kind in entries[name] if kind == "image") for name in classes]
    notes = list(left_out(folder, own, entries))
    n = sum(map(len, files))
    if n == 0:
        raise DataError(f"{shown(folder)} has class folders without a single image{_because(notes)}")
    return ImageFiles(
        root=folder,
        files=tuple(chain.from_iterable(files)),
        labels=np.repeat(np.arange(len(classes)), list(map(len, files))),
        ids=np.arange(n),
        size=size,
    ), notes


def listed(part: Path, name: str) -> tuple[Found, ...]:
    """The entries of the folder of one class, named relative to the part's folder.

    Raises: DataError if a folder cannot be listed.
    """
    folder = part / name
    entries = below(folder, apart_from=(part, part.parent))
    for inner, kind in entries:
        if kind == "closed":
            raise DataError(f"{shown(folder / inner)} cannot be listed")
    return tuple(Found(f"{name}/{inner}", kind) for inner, kind in entries)


def left_out(folder: Path, own: dict[str, str], entries: dict[str, tuple[Found, ...]]) -> Iterator[str]:
    """A sentence for every kind of image of a part that is not read, and for every class name that was composed."""
    files = [file for of_class in entries.values() for file, kind in of_class if kind == "other"]
    unread = [file for file in files if file.lower().endswith(UNREAD)]
    if unread:
        counts = Counter(os.path.splitext(file)[1].lower() for file in unread)  # noqa: PTH122 - a text
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(counts.items()))
        yield (
            f"in {shown(folder.name)} {_count(unread, 'file')} not read ({kinds}), as {shown(unread[0])}: convert to "
            "PNG (resatlas data check names each)"
        )
    if strays := [name for name in contents(folder)[0] if is_image(name)]:
        yield f"in {shown(folder.name)} {_count(strays, 'image')} left out, in no class folder, as {shown(min(strays))}"
    for name, spelled in own.items():
        if name != spelled:
            yield f"{with_code_points(spelled)} of {shown(folder.name)} is the class {with_code_points(name)}"


def _count(names: Iterable[str], word: str) -> str:
    count = len(list(names))
    return f"{count:,} {word}{'s are' if count > 1 else ' is'}"


def _because(notes: list[str]) -> str:
    return f"; {'; '.join(notes)}" if notes else ""


def drawn_apart(files: ImageFiles, percent: int) -> tuple[ImageFiles, ImageFiles]:
    """(to learn from, to test on), whose images are drawn class by class.

    Raises: DataError if no class has two images.
    """
    import numpy as np

    by_class = (np.flatnonzero(files.labels == label) for label in np.unique(files.labels))
    chosen = set(chain.from_iterable(drawn([files.files[k] for k in places], percent) for places in by_class))
    tested = np.array([name in chosen for name in files.files])
    if not chosen:
        raise DataError(f"{shown(files.root)} has one image a class, and none to test on")
    return renumbered(files, np.flatnonzero(~tested)), renumbered(files, np.flatnonzero(tested))


def drawn(names: Sequence[str], percent: int) -> tuple[str, ...]:
    """Of the n images of a class floor(percent·n/100 + 1/2), at least 1 of 2 and never all.

    Which ones is a function of their names alone: an image more moves few others.
    """
    count = min(max((percent * len(names) + 50) // 100, 1), max(len(names) - 1, 0))
    return tuple(sorted(names, key=lambda name: blake2b(os.fsencode(name), digest_size=8).digest())[:count])


def renumbered(files: ImageFiles, places: "NDArray[np.int64]") -> ImageFiles:
    """The files at these positions as a new part with ids from 0."""
    import numpy as np

    subset = files.take(places)
    return replace(subset, ids=np.arange(len(subset)))


def substitute(files: ImageFiles, k: int) -> Iterator[int]:
    """Positions of the other images of image k's class: those that follow it, then those before it.

    In this order they are tried where image k is unreadable; it is a function of the part alone.
    """
    import numpy as np

    alike = np.flatnonzero(files.labels == files.labels[k])
    place = int(np.searchsorted(alike, k))
    yield from np.roll(alike, -place)[1:].tolist()
