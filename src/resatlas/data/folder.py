"""Images in a folder of one's own: root/train/CLASS/*.jpg, root/val/CLASS/*.jpg, and perhaps root/test/CLASS/*.jpg."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageFiles, Parts
from resatlas.data.listing import below, contents, in_order, is_image, is_line, shown
from resatlas.errors import DataError, UsageError, nearest, quoted, unknown

Layout = Mapping[str, str]
"""The folder of each part: of train, of test, and of validation if there is one."""

SIZES = (8, 1024)

LOOKED_INTO = 20  # folders, for a hint

UNFIT = "a class whose name is not UTF-8 without control characters; rename it"


def folder(root: Path, *, size: int = 224) -> DataSet:
    """The images below `root`, a folder a part and in it a folder a class; shown with `size` pixels a side.

    Classes are the folders of train, in the order of their bytes. Links are followed, hidden files left out, and
    files that do not end as images; no image is opened. With val and test, val is for validation; either of them
    alone is tested on.

    Raises: UsageError if the size is outside 8…1024; DataError if the folders are not laid out so.
    """
    check_size(size)
    layout = found_layout(root)
    classes = class_names(root / layout["train"])
    if len(classes) < 2:
        raise DataError(
            f"{shown(root / layout['train'])} should have two class folders or more; it has {classes[0]} alone"
        )
    return DataSet(
        name=str(root),
        image=Shape(3, size, size),
        classes=classes,
        mirror="allowed",
        note=f"images of a folder, tested on its {layout['test']}; mirrored images are taken to show their class",
        read=partial(read, root, layout, classes=classes, size=size),
    )


def check_size(size: int) -> None:
    """Refuses a size that no photograph is shown with.

    Raises: UsageError.
    """
    least, most = SIZES
    if not least <= size <= most:
        raise UsageError(f"photographs are shown with {least} to {most:,} pixels a side; {size:,} is outside")


def found_layout(root: Path) -> Layout:
    """The first layout whose folders the root has.

    Raises: DataError, with the nearest layout, if there is none.
    """
    try:
        folders = in_order(contents(root)[1])
    except DataError as error:
        raise DataError(f"{error}{beside(root)}") from None
    for layout in LAYOUTS:
        if set(layout.values()) <= set(folders):
            return layout
    few = ", ".join(quoted(shown(name)) for name in folders[:5]) + (
        f" and {len(folders) - 5:,} more" if len(folders) > 5 else ""
    )
    raise DataError(
        f"{shown(root)} should have the folders train and val, each with a folder a class; "
        f"it has {few or 'no folders'}{hint(root, folders)}"
    )


def beside(root: Path) -> str:
    """The folder that may have been meant by a root that is not there, or nothing."""
    try:
        folders = contents(root.parent)[1]
    except DataError:
        return ""
    near = [shown(root.with_name(name)) for name in nearest(root.name, folders) if root.name not in folders]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def hint(root: Path, folders: tuple[str, ...]) -> str:
    """What is to be done about a root with these folders, or nothing."""
    meant = {
        wanted: name
        for wanted in ("train", "val", "test")
        for name in folders
        if wanted not in folders and name.lower().startswith(wanted)
    }
    if meant:
        return "; rename " + " and ".join(f"{quoted(shown(name))} to {wanted}" for wanted, name in meant.items())
    for name in folders[:LOOKED_INTO]:
        with suppress(DataError):
            files, inner = contents(root / name)
            if "train" in inner:
                return f"; did you mean {shown(root / name)}?"
            if any(map(is_image, files)):
                return "; class folders lie in it directly: move them into train, and some images of each into val"
    return ""


def class_names(part: Path) -> tuple[str, ...]:
    """The class folders of a part, in the order of their bytes.

    Raises: DataError if there are none, or a name is not text.
    """
    files, folders = contents(part)
    if not folders:
        lying = any(map(is_image, files))
        raise DataError(
            f"{shown(part)} should have a folder a class; it has no folders"
            + (", and images that lie in it directly" if lying else "")
        )
    for name in folders:
        if not is_line(name):
            raise DataError(f"{shown(part / name)} is {UNFIT}")
    return in_order(folders)


def read(root: Path, layout: Layout, *, classes: tuple[str, ...], size: int) -> Parts:
    """The parts of the layout, listed and not opened.

    Raises: DataError if a class has no image to learn from, a part has none at all or a class that train has not.
    """
    import numpy as np

    parts = {role: part(root / name, classes, size) for role, name in layout.items()}
    counts = np.bincount(parts["train"].labels, minlength=len(classes))
    empty = [shown(name) for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(f"{shown(root / layout['train'])} has classes without an image: {', '.join(empty[:5])}")
    return Parts(**parts)


def part(folder: Path, classes: tuple[str, ...], size: int) -> ImageFiles:
    """The images of one part, by class and then in the order of their bytes.

    Raises: DataError as `read`.
    """
    import numpy as np

    own = set(class_names(folder))
    for name in in_order(own.difference(classes)):
        raise DataError(f"{shown(folder / name)} is out of place: train has {unknown('class', name, classes)}")
    files = [images(folder, name) if name in own else () for name in classes]
    n = sum(map(len, files))
    if n == 0:
        raise DataError(f"{shown(folder)} has class folders without a single image")
    return ImageFiles(
        root=folder,
        files=tuple(chain.from_iterable(files)),
        labels=np.repeat(np.arange(len(classes)), list(map(len, files))),
        ids=np.arange(n),
        size=size,
    )


def images(part: Path, name: str) -> tuple[str, ...]:
    """The images of one class, named from the part's folder.

    Raises: DataError if a folder cannot be listed.
    """
    folder = part / name
    found = below(folder, apart_from=(part, part.parent))
    for inner, kind in found:
        if kind == "closed":
            raise DataError(f"{shown(folder / inner)} cannot be listed")
    return tuple(f"{name}/{inner}" for inner, kind in found if kind == "image")


def substitute(files: ImageFiles, k: int) -> Iterator[int]:
    """Positions of the other images of image k's class: those that follow it, then those before it.

    In this order they are tried where image k is unreadable; it is a function of the part alone.
    """
    import numpy as np

    alike = np.flatnonzero(files.labels == files.labels[k])
    place = int(np.searchsorted(alike, k))
    yield from np.roll(alike, -place)[1:].tolist()


LAYOUTS: tuple[Layout, ...] = (
    {"train": "train", "validation": "val", "test": "test"},
    {"train": "train", "test": "val"},
    {"train": "train", "test": "test"},
)
