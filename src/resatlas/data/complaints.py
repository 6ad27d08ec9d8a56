"""Faults of annotations: what is wrong where, the remedy, and what a fault does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from resatlas.data.listing import printable
from resatlas.errors import DataError
from resatlas.values.text import counted

Effect = Literal["refused", "left out", "cut", "noted"]
"""What a fault of an annotation does: reading fails, the object is left out of training or cut, or nothing changes."""


class Complaint(NamedTuple):
    """A fault of an annotation: the file, the annotation in it, what is wrong with the remedy, and what it does."""

    file: str
    where: str
    reason: str
    effect: Effect

    def __str__(self) -> str:
        """The fault on one line."""
        return ": ".join(part for part in (printable(self.file), printable(self.where), printable(self.reason)) if part)


def refuse(complaints: Sequence[Complaint], where: Path) -> None:
    """Check that no fault makes a data set unusable.

    Raises: DataError with the first one, and how to see all.
    """
    bad = [complaint for complaint in complaints if complaint.effect == "refused"]
    if bad:
        others = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        raise DataError(f"{bad[0]}{others} (resatlas data check {printable(where)} lists every fault)")


def notes_on(complaints: Sequence[Complaint]) -> tuple[str, ...]:
    """A sentence for each kind of fault that hinders nothing, with the first of its kind."""
    kinds: dict[Effect, list[Complaint]] = {}
    for complaint in complaints:
        kinds.setdefault(complaint.effect, []).append(complaint)
    return tuple(
        f"{counted(len(kinds[effect]), 'annotation')} {words}, such as {kinds[effect][0]}"
        for effect, words in _EFFECTS.items()
        if effect in kinds
    )


_EFFECTS: Mapping[Effect, str] = {
    "left out": "left out of training",
    "cut": "cut to the image in training",
    "noted": "with a fault that changes nothing",
}
