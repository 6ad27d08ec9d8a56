"""Families of installed packages, from the entry points of the group `resatlas.families`."""

from collections.abc import Container
from typing import TYPE_CHECKING

from resatlas.designs.family import Family
from resatlas.errors import quoted
from resatlas.values.notes import once

if TYPE_CHECKING:  # importing it takes longer than describing a network
    from importlib.metadata import EntryPoint

GROUP = "resatlas.families"


def families_of_packages(*, taken: Container[str]) -> dict[str, Family]:
    """Import the families of installed packages, by name.

    An entry point that fails, is not a `Family` or has the name of another family is skipped with a note.
    """
    from importlib.metadata import entry_points

    families: dict[str, Family] = {}
    for point in entry_points(group=GROUP):
        try:
            family = point.load()
        except Exception as error:  # code of plugins can raise any error
            _skip(point, f"{type(error).__name__}: {error}")
            continue
        if not isinstance(family, Family):
            _skip(point, f"expected a Family, got a {type(family).__name__}")
        elif family.name in taken or family.name in families:
            _skip(point, f"a family {family.name} exists already")
        else:
            families[family.name] = family
    return families


def _skip(point: "EntryPoint", why: str) -> None:
    package = f" of {point.dist.name}" if point.dist else ""
    once(f"plugin {point.value}", f"the family {quoted(point.name)}{package} ({point.value}) is skipped: {why}")
