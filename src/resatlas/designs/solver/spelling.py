"""The shortest DESIGN text of a design: what `resolve` reads, written."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from fractions import Fraction
from itertools import product
from string import Formatter
from typing import Any

from resatlas.designs.catalog import families, resolve
from resatlas.designs.family import Grammar
from resatlas.designs.tasks import Design
from resatlas.errors import DesignError, UsageError


def spelled(design: Design) -> str:
    """The shortest name that resolves to the design; where the grammar has none, the shortest text that does."""
    return next(text for text in _ways(design) if _means(text, design))


def _ways(design: Design) -> list[str]:
    """Texts that may mean the design, the best first; the family with its knobs always does."""
    stated = _stated(design)
    said = ",".join(f"{knob}={_word(value)}" for knob, value in stated.items() if value != _default(design, knob))
    needed = {knob: value for knob, value in stated.items() if not _idle(design, knob)}
    texts = [*names(design.family, needed), f"{design.family}:{said}"]
    return sorted(texts, key=lambda text: (":" in text, len(text)))


def names(family: str, knobs: Mapping[str, Any]) -> Iterator[str]:
    """Names of a member of a family that may have these knobs: without more, and with each as an end or behind a colon.

    The setting is said by what stands in front.
    """
    grammar = families()[family].grammar
    words = {knob: grammar.words.get(str(value), _decimal(value)) for knob, value in knobs.items()}
    head = grammar.head.format_map(words)
    free = [knob for knob in knobs if knob not in (*head_knobs(family), "setting")]
    free.sort(key=[*grammar.ends, *free].index)
    for prefix in ("", "cifar-", "imagenet-"):
        yield prefix + head
        for choice in product(*(list(_choices(grammar, knob, knobs[knob])) for knob in free)):
            said = ",".join(knob for _, knob in choice if knob)
            yield "".join([prefix, head, *(end for end, _ in choice), ":" if said else "", said])


def head_knobs(family: str) -> tuple[str, ...]:
    """The knobs that every name of a family says."""
    return tuple(knob for _, knob, _, _ in Formatter().parse(families()[family].grammar.head) if knob)


def _choices(grammar: Grammar, knob: str, value: object) -> Iterator[tuple[str, str]]:
    """What a knob adds to a name, and what it adds behind the colon: one of the two."""
    yield "", f"{knob}={_word(value)}"
    end = grammar.ends.get(knob, {})
    if isinstance(end, str):
        yield end.format(_decimal(value)), ""
    elif str(value) in end:
        yield end[str(value)], ""


def _means(text: str, design: Design) -> bool:
    """Whether a text resolves to this very network of this family, for the same images."""
    try:
        entry = resolve(text)
    except UsageError:
        return False
    same = (entry.family, entry.depth, entry.blueprint) == (design.family, design.depth, design.blueprint())
    return same and entry.design is not None and entry.design.setting == design.setting


def _stated(design: Design) -> dict[str, Any]:
    """The knobs that are not what the family gives them, and those in the head of its names."""
    head = families()[design.family].grammar.head
    given = {each.name: getattr(design, each.name) for each in fields(design)}  # type: ignore[arg-type]
    return {knob: value for knob, value in given.items() if f"{{{knob}}}" in head or value != _default(design, knob)}


def _default(design: Design, knob: str) -> object:
    """What the family gives a knob; MISSING if nothing."""
    return next(each.default for each in fields(design) if each.name == knob)  # type: ignore[arg-type]


def _idle(design: Design, knob: str) -> bool:
    """Whether the network is the same without a word on the knob, such as basic units at depth 20."""
    default = _default(design, knob)
    if default is MISSING or knob in head_knobs(design.family):
        return False
    try:
        other = replace(design, **{knob: default})  # type: ignore[type-var]
    except DesignError:
        return False
    return (other.setting, other.blueprint()) == (design.setting, design.blueprint())


def _word(value: object) -> str:
    return "none" if value is None else str(value)


def _decimal(value: object) -> str:
    """A fraction as a decimal of at most four places, which is another number if it has more; else the word."""
    if isinstance(value, Fraction):
        return f"{float(value):.4f}".rstrip("0").rstrip(".")
    return _word(value)
