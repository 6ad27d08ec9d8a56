"""Changes of a run after its start: images that were replaced, another policy for unreadable images.

`amended.json` has one entry for each change, in order; `unreadable.json` lists the unreadable image files with their
marks, so that replacing one of them can be distinguished from any other change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from resatlas.errors import FolderError, UsageError
from resatlas.runs.departures import AMENDED, UNREADABLE
from resatlas.runs.experiment import Experiment
from resatlas.runs.files import read_json, write_json
from resatlas.runs.record import Beginning
from resatlas.values.codec import decode, encode


@dataclass(frozen=True, kw_only=True)
class PartImages:
    """The fingerprint of one part of the data, as text."""

    part: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Amendment:
    """A change after so many finished epochs: the images from then on, the replaced ones among them, the policy."""

    epoch: int
    unreadable: Literal["error", "skip"]
    images: tuple[PartImages, ...]
    mended: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An unreadable image file: its part, the reason, and its mark in the part's fingerprint."""

    part: str
    file: str
    reason: str
    mark: str


def amendments(folder: Path) -> tuple[Amendment, ...]:
    """The changes of a run, in their order.

    Raises: FolderError if its file does not hold any.
    """
    return tuple(_decode_rows(folder / AMENDED, Amendment))


def unreadable(folder: Path) -> tuple[Unreadable, ...]:
    """The image files that a run could not read.

    Raises: FolderError if its file does not hold any.
    """
    return tuple(_decode_rows(folder / UNREADABLE, Unreadable))


def _decode_rows(file: Path, kind: type[Any]) -> Sequence[Any]:
    """The values of one kind in a file of a run; empty if the file is missing."""
    if not file.exists():
        return ()
    rows = read_json(file)
    if not isinstance(rows, list):
        raise FolderError(f"{file} is not a list")
    try:
        return [decode(kind, row, where=file.name) for row in rows]
    except UsageError as error:
        raise FolderError(f"{file}: {error}") from None


def amend(folder: Path, amendment: Amendment) -> None:
    """Record a change."""
    write_json(folder / AMENDED, [encode(change) for change in (*amendments(folder), amendment)], within=folder)


def record_unreadable(folder: Path, files: Iterable[Unreadable]) -> None:
    """Add image files to the list of those that could not be read; one that is listed stays as it is."""
    rows = {(row.part, row.file): row for row in unreadable(folder)}
    for row in files:
        rows.setdefault((row.part, row.file), row)
    if rows:
        write_json(folder / UNREADABLE, [encode(row) for row in rows.values()], within=folder)


def as_carried_out(run: Beginning) -> Experiment:
    """The experiment of a run with its current policy for unreadable images."""
    changes = amendments(run.folder)
    return replace(run.experiment, unreadable=changes[-1].unreadable) if changes else run.experiment
