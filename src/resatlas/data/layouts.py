"""How the folders of a data set may be laid out: which of them holds which part, or classes alone."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from resatlas.data.listing import contents, in_order, is_image, printable
from resatlas.errors import DataError, nearest, quoted

Role = Literal["train", "validation", "test"]

Layout = Mapping[Role, str]
"""The folder of each part below the root. Without a test, images are drawn for it from train, whose folder may be the
root itself, "". Without a train, there is nothing to learn from."""

_WORDS: Mapping[Role, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folder of a part may be called, in any case: as ImageNet, Roboflow, Keras and Kaggle have them."""

_LOOKED_INTO = 20  # folders, for a hint


def found_layout(root: Path) -> Layout:
    """The layout of a root: train, val and test are parts; with two parts, the second one is for the test.

    Raises: DataError, with the folders and the nearest layout, if there is no layout or a part has two folders.
    """
    try:
        folders = in_order(contents(root)[1])
    except DataError as error:
        raise DataError(f"{error}{_beside(root)}") from None
    parts = _named_parts(root, folders)
    if parts:
        return _tested_on_the_last(parts)
    if _holds_classes(root, folders):
        return {"train": ""}
    few = ", ".join(quoted(printable(name)) for name in folders[:5]) + (
        f" and {len(folders) - 5:,} more" if len(folders) > 5 else ""
    )
    raise DataError(
        f"{printable(root)} needs the folders train and val, each with one folder per class, or at least two class "
        f"folders with images; it has {few or 'no folders'}{hint(root, folders)}"
    )


def found_parts(root: Path) -> Layout:
    """The folders of parts in a root, one of which is for the test.

    Raises: DataError if there is none, or a part has two folders.
    """
    folders = in_order(contents(root)[1])
    parts = _tested_on_the_last(_named_parts(root, folders))
    if "test" not in parts:
        few = ", ".join(quoted(printable(name)) for name in folders[:5]) or "no folders"
        raise DataError(f"{printable(root)} needs the folders train and val; it has {few}")
    return parts


def _named_parts(root: Path, folders: Iterable[str]) -> dict[Role, str]:
    """The folders with the name of a part.

    Raises: DataError if two folders have names of one part.
    """
    parts: dict[Role, str] = {}
    for role, words in _WORDS.items():
        named = [name for name in folders if name.lower() in words]
        if len(named) > 1:
            raise DataError(
                f"{printable(root)} has {' and '.join(map(quoted, named))}, two folders for one part; rename one"
            )
        if named:
            parts[role] = named[0]
    return parts


def _tested_on_the_last(parts: dict[Role, str]) -> Layout:
    """The parts; without a test part, the validation part is for the test."""
    if "test" in parts or "validation" not in parts:
        return parts
    test = parts.pop("validation")
    return {**parts, "test": test}


def _holds_classes(root: Path, folders: Iterable[str]) -> bool:
    """Whether two folders or more have images directly in them."""
    count = 0
    for name in folders:
        with suppress(DataError):
            count += any(map(is_image, contents(root / name)[0]))
        if count == 2:
            return True
    return False


def _beside(root: Path) -> str:
    """A hint at a folder with a similar name to a missing root, or ""."""
    try:
        folders = contents(root.parent)[1]
    except DataError:
        return ""
    near = [printable(root.with_name(name)) for name in nearest(root.name, folders) if root.name not in folders]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def hint(root: Path, folders: tuple[str, ...]) -> str:
    """A hint at how to repair a root with these folders, or ""."""
    meant = {
        words[0]: name
        for words in _WORDS.values()
        for name in folders
        if name.lower().startswith(words[0]) and name.lower() not in words
    }
    if meant:
        return "; rename " + " and ".join(f"{quoted(printable(name))} to {wanted}" for wanted, name in meant.items())
    for name in folders[:_LOOKED_INTO]:
        with suppress(DataError):
            files, inner = contents(root / name)
            if _named_parts(root / name, inner) or _holds_classes(root / name, inner):
                return f"; did you mean {printable(root / name)}?"
            if any(map(is_image, files)):
                return "; an image classifier needs two classes or more"
    return ""
