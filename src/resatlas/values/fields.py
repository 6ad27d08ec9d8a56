"""The fields of a dataclass as knobs: what each takes, in words, and what it is by default."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Hint = Any
"""The annotation of a field."""

_KINDS: dict[object, str] = {int: "a whole number", float: "a number", Fraction: "a number", str: "a word"}


@dataclass(frozen=True, kw_only=True)
class Knob:
    """A field: `values` are the words that it takes, if they are a list; `kind` says in words what it takes.

    `usual` is its default; `needed` whether it has none.
    """

    name: str
    kind: str
    values: tuple[str, ...] | None
    usual: object
    needed: bool
    hint: Hint


def knobs_of(cls: type[Any]) -> Iterator[Knob]:
    """The knobs of a dataclass, in the order of its fields."""
    hints = get_type_hints(cls)
    for field in fields(cls):
        hint = _without_none(hints[field.name])
        words = get_origin(hint) is Literal
        needed = field.default is MISSING and field.default_factory is MISSING
        yield Knob(
            name=field.name,
            kind="a word" if words else _kind(hint),
            values=tuple(map(str, get_args(hint))) if words else None,
            usual=None if field.default is MISSING else field.default,
            needed=needed,
            hint=hint,
        )


def needed_knobs(cls: type[Any]) -> list[str]:
    """The names of the knobs without a default."""
    return [knob.name for knob in knobs_of(cls) if knob.needed]


def _without_none(hint: Hint) -> Hint:
    if get_origin(hint) in (Union, UnionType):
        [hint] = [one for one in get_args(hint) if one is not NoneType]
    return hint


def _kind(hint: Hint) -> str:
    if get_origin(hint) is tuple:
        return "whole numbers" if get_args(hint)[0] is int else "words"
    return _KINDS.get(hint, getattr(hint, "__name__", "a word"))
