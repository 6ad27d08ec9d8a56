"""Images that two parts of a data set share: what is learnt from must not be tested."""

import os
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from resatlas.data.boxes import AnnotatedImages
from resatlas.data.complaints import Complaint
from resatlas.values.reading import content
from resatlas.values.text import counted

Name = TypeVar("Name", bound=str)


def shared_images(parts: Mapping[Name, AnnotatedImages]) -> Iterator[Complaint]:
    """The faults of parts that share images.

    A file in both parts, also by a link, is refused. Of files with one name, id and size in two folders the first pair
    is read: if they are copies, that is noted.
    """
    for (one, first), (other, second) in combinations(parts.items(), 2):
        if first.root is None or second.root is None:
            continue
        same = list(_same_files(first, second))
        where = str(second.root)
        if same:
            few = ", ".join(same[:3]) + (", …" if len(same) > 3 else "")
            yield Complaint(
                where, few, f"{counted(len(same), 'image')} of {other} also in {one}; leave each in one part", "refused"
            )
        elif copies := _copies(first, second):
            reason = (
                f"its copy with the same id is in {one}, and {counted(len(copies), 'image')} of {other} in all "
                "may have one; leave each in one part"
            )
            yield Complaint(where, copies[0], reason, "noted")


def _same_files(first: AnnotatedImages, second: AnnotatedImages) -> Iterator[str]:
    """The names of the images of the second part that are files of the first one.

    Folders are resolved, and files of one name in two folders are compared, since some are links.
    """
    known = set(_resolved(first))
    by_name: dict[str, str] = {Path(name).name: name for name in first.names}
    for name, resolved in zip(second.names, _resolved(second), strict=True):
        twin = by_name.get(Path(name).name)
        if resolved in known or (twin is not None and _is_one(_path(first, twin), _path(second, name))):
            yield name


def _resolved(part: AnnotatedImages) -> Iterator[str]:
    """The path of each image, its folder resolved, once for all images in it."""
    folders: dict[str, str] = {}
    for name in part.names:
        folder, _, file = name.rpartition("/")
        if folder not in folders:
            folders[folder] = os.path.realpath(_path(part, folder))
        yield f"{folders[folder]}/{file}"


def _copies(first: AnnotatedImages, second: AnnotatedImages) -> list[str]:
    """The names of images that have id, name and bytes of a file of the first part; of the bytes the first is read."""
    known = set(zip(first.ids, first.names, strict=True))
    alike = [
        name
        for own, name in zip(second.ids, second.names, strict=True)
        if (own, name) in known and _bytes(_path(first, name)) == _bytes(_path(second, name)) >= 0
    ]
    try:
        copied = bool(alike) and content(_path(first, alike[0])) == content(_path(second, alike[0]))
    except OSError:
        copied = False
    return alike if copied else []


def _path(part: AnnotatedImages, name: str) -> Path:
    return (part.root or Path()) / name


def _is_one(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except (OSError, ValueError):
        return -1
