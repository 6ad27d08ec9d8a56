"""The shortest DESIGN text of a design, the inverse of `resolve`."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from fractions import Fraction
from itertools import product
from string import Formatter
from typing import Any

from resatlas.designs.catalog import family_called, resolve, with_knobs
from resatlas.designs.family import Family, Grammar
from resatlas.designs.tasks import Design
from resatlas.errors import DesignError, UsageError


def spelled(design: Design) -> str:
    """The shortest name that resolves to the design, or the shortest text if no name does."""
    return next(text for text in _candidates(design) if _means(text, design))


def _candidates(design: Design) -> list[str]:
    """Texts that may resolve to the design, the best first; the family with its knobs always does."""
    family = family_called(design.family)
    needed = {knob: value for knob, value in _stated(design, family).items() if not _idle(design, knob, family)}
    listed = (name for name, own in family.named.items() if own == design)
    texts = [*listed, *names(family, needed), with_knobs(design.family, design)]
    return sorted(texts, key=lambda text: (":" in text, len(text)))


def names(family: Family, knobs: Mapping[str, Any]) -> Iterator[str]:
    """Candidate names of a member with these knobs: the head, and each other knob as a suffix or after a colon.

    The prefix determines the setting.
    """
    grammar = family.grammar
    words = {knob: grammar.words.get(str(value), _decimal(value)) for knob, value in knobs.items()}
    head = grammar.head.format_map(words)
    free = [knob for knob in knobs if knob not in (*head_knobs(family), "setting")]
    free.sort(key=[*grammar.ends, *free].index)
    for prefix in ("", "cifar-", "imagenet-"):
        yield prefix + head
        for choice in product(*(list(_choices(grammar, knob, knobs[knob])) for knob in free)):
            said = ",".join(knob for _, knob in choice if knob)
            yield "".join([prefix, head, *(end for end, _ in choice), ":" if said else "", said])


def head_knobs(family: Family) -> tuple[str, ...]:
    """The knobs in every name of a family."""
    return tuple(knob for _, knob, _, _ in Formatter().parse(family.grammar.head) if knob)


def _choices(grammar: Grammar, knob: str, value: object) -> Iterator[tuple[str, str]]:
    """The pairs (suffix, text after the colon) for a knob, of which one is empty."""
    yield "", f"{knob}={_word(value)}"
    end = grammar.ends.get(knob, {})
    if isinstance(end, str):
        yield end.format(_decimal(value)), ""
    elif str(value) in end:
        yield end[str(value)], ""


def _means(text: str, design: Design) -> bool:
    """Whether a text resolves to this network of this family, for the same images."""
    try:
        entry = resolve(text)
    except UsageError:
        return False
    same = (entry.family, entry.depth, entry.blueprint) == (design.family, design.depth, design.blueprint())
    return same and entry.design is not None and entry.design.setting == design.setting


def _stated(design: Design, family: Family) -> dict[str, Any]:
    """The knobs that differ from their defaults, and those in the head of names."""
    head = family.grammar.head
    values = {field.name: getattr(design, field.name) for field in fields(design)}  # type: ignore[arg-type]
    return {knob: value for knob, value in values.items() if f"{{{knob}}}" in head or value != _default(design, knob)}


def _default(design: Design, knob: str) -> object:
    """The default of a knob; MISSING if there is none."""
    return next(field.default for field in fields(design) if field.name == knob)  # type: ignore[arg-type]


def _idle(design: Design, knob: str, family: Family) -> bool:
    """Whether the network is the same with the knob's default, such as basic units at depth 20."""
    default = _default(design, knob)
    if default is MISSING or knob in head_knobs(family):
        return False
    try:
        other = replace(design, **{knob: default})  # type: ignore[type-var]
    except DesignError:
        return False
    return (other.setting, other.blueprint()) == (design.setting, design.blueprint())


def _word(value: object) -> str:
    return "none" if value is None else str(value)


def _decimal(value: object) -> str:
    """A fraction as a decimal with at most four digits, rounded if it has more; other values as words."""
    if isinstance(value, Fraction):
        return f"{float(value):.4f}".rstrip("0").rstrip(".")
    return _word(value)
