"""Families that installed packages offer under the entry points of the group `resatlas.families`."""

from collections.abc import Container
from typing import TYPE_CHECKING

from resatlas.designs.family import Family
from resatlas.errors import quoted
from resatlas.values.notes import once

if TYPE_CHECKING:  # which takes longer to import than to describe a network
    from importlib.metadata import EntryPoint

GROUP = "resatlas.families"


def families_of_packages(*, taken: Container[str]) -> dict[str, Family]:
    """The families that installed packages offer, by name; their code is imported.

    One that fails, is not a `Family` or has the name of another is left out, with a note.
    """
    from importlib.metadata import entry_points

    families: dict[str, Family] = {}
    for point in entry_points(group=GROUP):
        try:
            family = point.load()
        except Exception as error:  # other people's code can fail in any way
            _leave_out(point, f"{type(error).__name__}: {error}")
            continue
        if not isinstance(family, Family):
            _leave_out(point, f"a Family is expected, not a {type(family).__name__}")
        elif family.name in taken or family.name in families:
            _leave_out(point, f"there is a family {family.name} already")
        else:
            families[family.name] = family
    return families


def _leave_out(point: "EntryPoint", why: str) -> None:
    package = f" of {point.dist.name}" if point.dist else ""
    once(f"plugin {point.value}", f"the family {quoted(point.name)}{package} ({point.value}) is left out: {why}")
