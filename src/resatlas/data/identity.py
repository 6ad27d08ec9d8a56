"""The identity of image files over time: a fingerprint for each part of a data set."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Literal, get_args

from resatlas.data.boxes import AnnotatedImages, AnnotatedParts
from resatlas.data.dataset import ImageFiles, Part, Parts
from resatlas.data.layouts import Role
from resatlas.errors import DataError, quoted

By = Literal["content", "size"]

OBJECTS, MASKS = " objects", " masks"
"""What follows the role of a part in the names of the digests of its annotations."""

MOST_BYTES = 8 << 30
"""Of a part in all, up to which the content of its files counts: ImageNet's test images have 6.7 GB.

A larger part, as ImageNet's training images (138 GB), is known by the names and sizes of its files: reading it would
take longer than most trainings. Measurements: docs/decisions/0010-identity-of-images.md.
"""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Digests of the files of one part, equal for every copy of the folder.

    `names` is a digest of the names below the part's folder in their order, which begin with the class; `files` of
    the names with the content, or the size, of each; `loose` of contents or sizes alone, in no order.
    """

    images: int
    by: By
    names: str
    files: str
    loose: str

    def __str__(self) -> str:
        """The fingerprint as one word: images:by:names:files:loose."""
        return ":".join(map(str, astuple(self)))

    @property
    def short(self) -> str:
        """The first eight digits of its digest, for the name of a file."""
        return self.files[:8]


def parsed(text: str) -> Fingerprint:
    """The fingerprint that `str` wrote.

    Raises: DataError if the text is not one.
    """
    words = text.split(":")
    if len(words) != 5 or not words[0].isdecimal() or words[1] not in get_args(By):
        raise DataError(f"{quoted(text)} is not the fingerprint of images")
    images, by, names, files, loose = words
    return Fingerprint(
        images=int(images), by="size" if by == "size" else "content", names=names, files=files, loose=loose
    )


def parts_in_files(parts: Parts | AnnotatedParts) -> dict[Role, ImageFiles]:
    """The parts whose images are files, by their roles."""
    every: dict[Role, Part | AnnotatedImages | None] = {
        "train": parts.train,
        "validation": parts.validation,
        "test": parts.test,
    }
    files = {role: part.files() if isinstance(part, AnnotatedImages) else part for role, part in every.items()}
    return {role: part for role, part in files.items() if isinstance(part, ImageFiles)}


def by_role(parts: AnnotatedParts) -> dict[Role, AnnotatedImages]:
    """The parts that there are, by their roles."""
    every: dict[Role, AnnotatedImages | None] = {
        "train": parts.train,
        "validation": parts.validation,
        "test": parts.test,
    }
    return {role: part for role, part in every.items() if part is not None}


def digests_of_objects(parts: Parts | AnnotatedParts) -> dict[str, str]:
    """The sha256 of what is annotated in each part, as `annotated_digests` has them; none without objects."""
    if isinstance(parts, Parts):
        return {}
    digests = (annotated_digests(role, part) for role, part in by_role(parts).items())
    return {name: text for own in digests for name, text in own.items()}


def annotated_digests(role: Role, part: AnnotatedImages) -> dict[str, str]:
    """The digest of the objects of a part by its role and the word objects; that of masks, if it has any, by masks.

    They are separate so that runs on boxes alone and runs with masks have the same objects.
    """
    digests = {f"{role}{OBJECTS}": digest_of_objects(part)}
    return {**digests, f"{role}{MASKS}": digest_of_masks(part)} if part.are_masked else digests


def changed_annotations(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(role, objects or masks) of each digest of annotations in `now` that is another one than before.

    Masks that only one side has read are not compared.
    """
    for name, text in now.items():
        role, _, kind = name.partition(" ")
        if before.get(name, "" if kind == "objects" else text) != text:
            yield role, kind


def digest_of_objects(part: AnnotatedImages) -> str:
    """The sha256 of what a part's annotations say: categories, ids, names and sizes of images, all objects but masks.

    Two copies of a data set have the same digest, whatever the order of keys and spaces in their files. The pixels are
    the business of `data.verifying`.
    """
    content, objects = hashlib.sha256(), part.objects
    for text in (repr(part.categories), repr(part.ids), repr(part.names), repr(objects.ids)):
        content.update(text.encode("utf-8", errors="surrogateescape") + b"\0")
    for array, kind in (
        (part.sizes, "<i8"),
        (objects.starts, "<i8"),
        (objects.boxes, "<f8"),
        (objects.labels, "<i8"),
        (objects.ignore, "u1"),
        (objects.areas, "<f8"),
    ):
        content.update(array.astype(kind).tobytes())
    return content.hexdigest()


def digest_of_masks(part: AnnotatedImages) -> str:
    """The sha256 of the masks of a part's objects, or of its files of masks.

    Raises: DataError if such a file cannot be read.
    """
    content = hashlib.sha256()
    for mask in part.objects.masks:
        content.update(mask.content() + b"\0")
    if part.pixels is not None:
        for k in range(len(part)):
            content.update(hashlib.sha256(part.pixels.content(k)).digest())
    return content.hexdigest()


def fingerprint_of(part: ImageFiles, marks: Sequence[str], by: By) -> Fingerprint:
    """The fingerprint of a part; the mark of each file is the sha256 of its content, or its size."""
    names, files = hashlib.sha256(), hashlib.sha256()
    for name, mark in zip(part.files, marks, strict=True):
        names.update(os.fsencode(name) + b"\0")
        files.update(os.fsencode(name) + b"\0" + mark.encode() + b"\0")
    loose = hashlib.sha256("\0".join(sorted(marks)).encode())
    return Fingerprint(
        images=len(part), by=by, names=names.hexdigest()[:16], files=files.hexdigest(), loose=loose.hexdigest()[:16]
    )


def _difference(before: Fingerprint, now: Fingerprint) -> str:
    """How the files of a part differ from the earlier ones, in words; empty if they do not."""
    if before == now:
        return ""
    if before.images != now.images:
        return f"{now.images:,} images, where it had {before.images:,}"
    if before.names != now.names:
        return "images of other names"
    if before.loose == now.loose:
        return "the same images under each other's names, as after a swap of two classes"
    return f"images of the same names with other {'content' if before.by == now.by == 'content' else 'sizes'}"


def differences(before: Mapping[Role, Fingerprint], now: Mapping[Role, Fingerprint]) -> dict[Role, str]:
    """The parts that differ, each with a description; a part that only one side has differs."""
    changes: dict[Role, str] = {}
    for role in sorted({*before, *now}):
        match before.get(role), now.get(role):
            case Fingerprint() as old, Fingerprint() as new:
                words = _difference(old, new)
            case Fingerprint(), None:
                words = "no image files"
            case _:
                words = "image files, where it had none"
        if words:
            changes[role] = words
    return changes
