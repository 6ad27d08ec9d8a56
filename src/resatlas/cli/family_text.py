"""A family for `describe`: its knobs with their values and defaults, its paper, and its networks in the catalogue."""

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from resatlas.cli.outcome import Outcome
from resatlas.designs.family import Family
from resatlas.values.table import Table, words
from resatlas.values.terminal import aligned
from resatlas.values.text import counted

_KINDS: dict[object, str] = {int: "a whole number", float: "a number", Fraction: "a number", str: "a word"}


def describe_family(family: Family) -> Outcome:
    """What a family builds, in the words of its file; its knobs; its names."""
    needed = needed_knobs(family)
    knobs = [{**knob, "needed": knob["name"] in needed} for knob in _knobs(family.design)]
    table = Table(
        columns=words("knob", "values", "default"),
        rows=tuple((knob["name"], _values(knob), _default(knob)) for knob in knobs),
    )
    about, names = inspect.getdoc(family.design) or "", list(family.named)
    data = {
        "family": family.name,
        "about": about,
        "paper": str(family.paper),
        "knobs": knobs,
        "designs": names,
        "recipes": list(family.recipes),
    }
    example = f"{family.name}:{','.join(f'{name}=…' for name in needed)}"
    known = f"{counted(len(names), 'design')} in the catalogue: resatlas list {family.name}" if names else ""
    recipes = f"its recipes: {', '.join(family.recipes)} (resatlas describe --recipe NAME)" if family.recipes else ""
    ends = [f"a network: resatlas describe {example}", known, recipes]
    parts = [f"{family.name}: {family.paper}", about, aligned(table), "\n".join(filter(None, ends))]
    return Outcome(data, "\n\n".join(filter(None, parts)))


def needed_knobs(family: Family) -> list[str]:
    """The knobs without a default."""
    return [
        field.name for field in fields(family.design) if field.default is MISSING and field.default_factory is MISSING
    ]


def _knobs(design: type[Any]) -> Iterator[dict[str, Any]]:
    hints = get_type_hints(design)
    for field in fields(design):
        default = None if field.default in (MISSING, None) else str(field.default)
        yield {"name": field.name, "default": default, **_kind(hints[field.name])}


def _kind(hint: Any) -> dict[str, Any]:  # noqa: ANN401 - any annotation
    """The words that a knob takes, if they are a list, and otherwise what kind of value it is."""
    if get_origin(hint) in (Union, UnionType):
        [hint] = [one for one in get_args(hint) if one is not NoneType]
    if get_origin(hint) is Literal:
        return {"values": list(get_args(hint)), "kind": "a word"}
    return {"values": None, "kind": _KINDS.get(hint, getattr(hint, "__name__", "a word"))}


def _values(knob: dict[str, Any]) -> str:
    return ", ".join(knob["values"]) if knob["values"] else knob["kind"]


def _default(knob: dict[str, Any]) -> str:
    return "needed" if knob["needed"] else knob["default"] or "as in the paper"
