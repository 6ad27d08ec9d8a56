"""Convert frozen dataclasses to JSON or TOML values and back, by their annotations.

A dataclass of a union is written with its class in "kind", a Fraction as "3/4", a tuple as a list. A union of a value
and a tuple takes either, told apart by the list.
Data cannot name code: only the classes of the annotations are created.
"""

import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from resatlas.errors import BlueprintError, quoted, unknown

T = TypeVar("T")

LATER: Mapping[str, object] = {"written": "unless it is the default"}
"""Metadata of a field that files of earlier versions lack: what they could say is written as they wrote it."""

_MOST_DIGITS = 24


def encode(value: object) -> Any:  # noqa: ANN401 - JSON has any type
    """The value as JSON values; every dataclass of a union has its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        hints, later = _hints(type(value)), _later(type(value))
        return {
            name: _encode_as(hint, getattr(value, name))
            for name, hint in hints.items()
            if name not in later or getattr(value, name) != later[name]
        }
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return [encode(item) for item in cast("tuple[object, ...]", value)]
    return value


def decode(kind: type[T], data: object, *, where: str) -> T:
    """The value of this type that the data describe; errors contain `where`.

    Raises: BlueprintError for a wrong type, an unknown key or a missing one, with the nearest right key.
    """
    return _decode(kind, data, where)


def known(kind: Any, data: object) -> object:  # noqa: ANN401 - the type is the caller's
    """The data without keys that the dataclass lacks, since a file of a later version may have more keys."""
    members = _members(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    [cls, *others] = [member for member in members if is_dataclass(member)] or [None]
    if cls is None or others or not isinstance(data, Mapping):
        return data
    hints = _hints(cast("type", cls))
    return {key: known(hints[key], value) for key, value in data.items() if key in hints}


def decode_text(kind: Any, text: str, *, where: str) -> Any:  # noqa: ANN401 - the type is the caller's
    """The value of this type for a word of the command line: 28, 0.3, 3/4, true, none, a name.

    Raises: BlueprintError if the word is not one of the type.
    """
    data: object = text
    union = get_origin(kind) in (Union, types.UnionType)
    members = _members(kind) if union else (kind,)
    if text == "none" and union and type(None) in get_args(kind):
        return None
    if len(text) <= _MOST_DIGITS and re.fullmatch(r"[-+.0-9a-z]+", text):
        for number in (int, float):
            if number in members:
                try:
                    data = number(text)
                    break
                except ValueError:
                    continue
    if bool in members and text in ("true", "false"):
        data = text == "true"
    if data is text and members in ((int,), (float,)):
        raise BlueprintError(f"{where} needs {_NAMES[members[0]]}; got {quoted(text)}")
    return _decode(kind, data, where)


def kind_of(cls: type) -> str:
    """The name of a class in files: MergeAndRun is merge-and-run."""
    letters = [f"-{c.lower()}" if c.isupper() else c for c in cls.__name__]
    return "".join(letters).removeprefix("-")


def _encode_as(hint: Any, value: object) -> Any:  # noqa: ANN401
    if get_origin(hint) is tuple and not hasattr(hint, "_fields"):
        item = get_args(hint)[0]
        return [_encode_as(item, element) for element in value]  # type: ignore[union-attr]
    encoded = encode(value)
    if is_dataclass(value) and len(_members(hint)) > 1:
        return {"kind": kind_of(type(value)), **encoded}
    return encoded


def _decode(hint: Any, data: object, where: str) -> Any:  # noqa: ANN401
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(hint, data, where)
    if origin is Literal:
        if data not in get_args(hint):
            raise BlueprintError(f"{where}: {unknown('value', value_text(data), map(str, get_args(hint)))}")
        return data
    if origin is tuple:
        item = get_args(hint)[0]
        return tuple(_decode(item, element, f"{where}[{i}]") for i, element in enumerate(_list(data, where)))
    if origin is dict:
        return {str(key): _decode(get_args(hint)[1], value, f"{where}.{key}") for key, value in _table(data, where)}
    if hasattr(hint, "_fields"):
        items = _list(data, where)
        if len(items) != len(hint._fields):
            raise BlueprintError(f"{where}: {len(hint._fields)} numbers ({', '.join(hint._fields)}), not {len(items)}")
        return hint(*(_decode(int, number, f"{where}[{i}]") for i, number in enumerate(items)))
    if is_dataclass(hint):
        return _decode_fields(hint, data, where)
    return _decode_scalar(hint, data, where)


def _decode_union(hint: Any, data: object, where: str) -> Any:  # noqa: ANN401
    if data is None and type(None) in get_args(hint):
        return None
    members = _members(hint)
    listed = [member for member in members if get_origin(member) is tuple]
    if listed and len(members) == 2:
        [single] = [member for member in members if member not in listed]
        return _decode(listed[0] if isinstance(data, list) else single, data, where)
    if len(members) == 1:
        return _decode(members[0], data, where)
    if type(data) in members:  # one of several plain types, such as int | str
        return data
    kinds = {kind_of(member): member for member in members}
    if not isinstance(data, Mapping) or "kind" not in data:
        raise BlueprintError(f'{where}: expected a table with "kind" ({", ".join(kinds)})')
    kind = str(data["kind"])
    if kind not in kinds:
        raise BlueprintError(f"{where}: {unknown('kind', kind, kinds)}")
    return _decode(kinds[kind], {k: v for k, v in data.items() if k != "kind"}, where)


def _decode_fields(cls: Any, data: object, where: str) -> Any:  # noqa: ANN401
    table = dict(_table(data, where))
    hints = _hints(cls)
    for key in table:
        if key not in hints:
            raise BlueprintError(f"{where}: {unknown('key', str(key), hints)}")
    for field in fields(cls):
        if field.default is MISSING and field.default_factory is MISSING and field.name not in table:
            raise BlueprintError(f'{where}: key "{field.name}" is missing')
    return cls(**{key: _decode(hints[key], value, f"{where}.{key}") for key, value in table.items()})


def _table(data: object, where: str) -> Iterable[tuple[Any, object]]:
    if not isinstance(data, Mapping):
        raise BlueprintError(f"{where}: expected a table, got {_kind_name(data)}")
    return data.items()


def _decode_scalar(hint: Any, data: object, where: str) -> Any:  # noqa: ANN401
    if hint is Fraction:
        return _fraction(data, where)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, hint) or (isinstance(data, bool) and hint is not bool):
        raise BlueprintError(f"{where}: expected {_NAMES.get(hint, hint.__name__)}, got {_kind_name(data)}")
    if isinstance(data, int) and abs(data) >= 10**_MOST_DIGITS:
        raise BlueprintError(f"{where}: expected a whole number of at most {_MOST_DIGITS} digits")
    return data


def _fraction(data: object, where: str) -> Fraction:
    if isinstance(data, str) and len(data) <= _MOST_DIGITS and "e" not in data.lower():
        try:
            return Fraction(data)
        except (ValueError, ZeroDivisionError):
            pass
    elif isinstance(data, int) and not isinstance(data, bool) and abs(data) < 10**_MOST_DIGITS:
        return Fraction(data)
    elif isinstance(data, float) and abs(data) < float("inf"):
        return Fraction(repr(data))
    raise BlueprintError(f'{where}: expected a fraction such as "1/4" or 0.25, got {quoted(value_text(data))}')


def _list(data: object, where: str) -> list[object]:
    if isinstance(data, list):
        return cast("list[object]", data)
    raise BlueprintError(f"{where}: expected a list, got {_kind_name(data)}")


def _members(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple(member for member in get_args(hint) if member is not type(None))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(cls).items() if name in {field.name for field in fields(cls)}}


@cache
def _later(cls: type) -> dict[str, object]:
    """The defaults of the fields that earlier versions lack."""
    later = [field for field in fields(cls) if field.metadata == LATER]
    return {
        field.name: field.default if field.default_factory is MISSING else field.default_factory() for field in later
    }


_NAMES: dict[object, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def value_text(data: object) -> str:
    """A string or a short number unchanged; any other value as its kind."""
    short = isinstance(data, str | float) or (isinstance(data, int) and abs(data) < 10**_MOST_DIGITS)
    return str(data) if short else _kind_name(data)


def _kind_name(data: object) -> str:
    return "nothing" if data is None else _NAMES.get(type(data), f"a {type(data).__name__}")
