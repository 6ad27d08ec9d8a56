"""A family for `describe`: its knobs with their values and defaults, its paper, and its networks in the catalogue."""

import inspect
from typing import Any

from resatlas.cli.outcome import Outcome
from resatlas.designs.family import Family
from resatlas.values.fields import Knob, knobs_of, needed_knobs
from resatlas.values.table import Table, words
from resatlas.values.terminal import aligned
from resatlas.values.text import counted


def describe_family(family: Family) -> Outcome:
    """What a family builds, in the words of its file; its knobs; its names."""
    needed = needed_knobs(family.design)
    knobs = [_knob(knob) for knob in knobs_of(family.design)]
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


def _knob(knob: Knob) -> dict[str, Any]:
    return {
        "name": knob.name,
        "default": None if knob.usual is None else str(knob.usual),
        "values": None if knob.values is None else list(knob.values),
        "kind": knob.kind,
        "needed": knob.needed,
    }


def _values(knob: dict[str, Any]) -> str:
    return ", ".join(knob["values"]) if knob["values"] else knob["kind"]


def _default(knob: dict[str, Any]) -> str:
    return "needed" if knob["needed"] else knob["default"] or "as in the paper"
