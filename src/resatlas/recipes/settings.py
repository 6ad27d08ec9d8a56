"""Recipes with some fields replaced, each by its dotted name."""

import types
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Any, Union, get_args, get_origin, get_type_hints

from resatlas.errors import BlueprintError, RecipeError, UnknownName, quoted, unknown
from resatlas.recipes.recipe import Recipe, with_epochs
from resatlas.values.codec import decode, decode_text, encode, kind_of
from resatlas.values.knobs import key_values


@dataclass
class _Part:
    """A part of a recipe, and what changes in it: whole fields, and fields inside others, or of a tuple its members."""

    value: Any
    fields: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, "_Part"] = field(default_factory=dict)

    def changed(self) -> Any:  # noqa: ANN401 - whatever the part is
        """The part with its changes, checked once."""
        if isinstance(self.value, tuple):
            changed = {name: part.changed() for name, part in self.parts.items()}
            return tuple(changed.get(kind_of(type(member)), member) for member in self.value)
        return replace(self.value, **self.fields, **{name: part.changed() for name, part in self.parts.items()})


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with fields replaced, each written key=value; a dot enters a field, as in schedule.peak=0.2.

    Where a field is one of several kinds, or none, its kind is set by its name, as in optimizer=lamb or average=none;
    fields of both kinds keep their values, others take the defaults of the new kind. A tuple is written as its members
    with commas between them, as in mixing=mixup,cutmix, and the empty one as none. A dot also enters a field that is
    none, and with its kind a member of a tuple, as in steps.shorter-side.lengths=480,600.

    Raises: UnknownName for a field that is not there, RecipeError for a doubled or malformed setting.
    """
    texts = key_values(settings, what="setting", example="schedule.peak=0.2", error=RecipeError)
    whole = _Part(recipe)
    for key in sorted(texts, key=lambda key: key.count(".")):  # kinds before what is in them
        try:
            _set(whole, key, texts[key])
        except BlueprintError as error:
            raise RecipeError(str(error)) from None
    changed = whole.changed()
    return with_epochs(changed, changed.epochs) if "epochs" in texts and "iterations" not in texts else changed


def fields_named(recipe: Recipe, name: str) -> list[str]:
    """What can be set in the recipe under a name, with or without the parts before it: momentum, smoothing, decay."""
    paths = list(_paths(type(recipe), recipe))
    parts = [path for path in paths if path == name] or [path for path in paths if path.startswith(f"{name}.")]
    return parts or [path for path in paths if path.endswith(f".{name}")]


def _set(whole: _Part, key: str, text: str) -> None:
    """Add a value to the changes, decoded by the type of its field."""
    node = whole
    *way, name = key.split(".")
    for step in way:
        hint, value = _field(node, step, key, whole)
        if isinstance(node.fields.get(step), tuple):
            value = node.fields.pop(step)
        if step in node.fields:
            raise RecipeError(f"{key} cannot be set together with {'.'.join(way)}=none")
        node = node.parts.setdefault(step, _Part(_default(hint) if value is None else value))
    hint, value = _field(node, name, key, whole)
    kinds = _kinds(hint)
    if text in kinds:
        node.parts[name] = _Part(_of_kind(kinds[text], value, where=key))
    elif text == "none" and type(None) in get_args(hint):
        node.fields[name] = None
    elif kinds and get_origin(hint) is not tuple:
        raise RecipeError(f"{key}: {unknown('kind', text, [*kinds, *_none(hint)])}")
    elif is_dataclass(hint):
        raise RecipeError(
            f"{key} is not set as a whole; what can be set is {', '.join(_paths(hint, value, f'{key}.'))}"
        )
    elif get_origin(hint) is tuple:
        node.fields[name] = _members(hint, text, where=key)
    else:
        node.fields[name] = decode_text(hint, text, where=key)


def _field(node: _Part, name: str, key: str, whole: _Part) -> tuple[Any, Any]:
    """The type and the value of a field of a part, or of a member of a tuple, by its kind."""
    if isinstance(node.value, tuple) and all(map(is_dataclass, node.value)):
        members = {kind_of(type(member)): member for member in node.value}
        of = key.partition(f".{name}")[0]
        if len(members) < len(node.value):
            raise RecipeError(f"{key}: {of} has several of one kind, and none of them is set by its kind")
        if name not in members:
            example = f"{of}={','.join([name, *members])}"
            raise UnknownName(f"{key}: {of} has no {quoted(name)}; set the whole of it too, as in {example}")
        return type(members[name]), members[name]
    hints = _hints(node.value)
    if name not in hints:
        raise UnknownName(unknown("recipe field", key, _paths(type(whole.value), whole.value)))
    return hints[name], getattr(node.value, name)


def _members(hint: Any, text: str, *, where: str) -> tuple[Any, ...]:  # noqa: ANN401 - a type
    """The members of a tuple that words with commas between them name."""
    item = get_args(hint)[0]
    words = text.split(",") if text != "none" else ()
    kinds = _kinds(item) or ({kind_of(item): item} if is_dataclass(item) else {})
    if not kinds:
        return tuple(decode_text(item, word, where=where) for word in words)
    for word in words:
        if word not in kinds:
            raise RecipeError(f"{where}: {unknown('kind', word, [*kinds, 'none'])}")
    return tuple(_of_kind(kinds[word], None, where=where) for word in words)


def _of_kind(cls: Any, old: object, *, where: str) -> Any:  # noqa: ANN401 - a class of the recipe's own types
    """A value of that class: numbers and words of its fields as the old one has them, the others by default."""
    had = encode(old) if is_dataclass(old) else {}
    kept = {name: value for name, value in had.items() if name in _hints(cls) and isinstance(value, str | int | float)}
    try:
        return decode(cls, kept, where=where)
    except BlueprintError as error:
        raise RecipeError(f"{error}; no setting gives it") from None


def _kinds(hint: Any) -> dict[str, Any]:  # noqa: ANN401 - a type
    """The classes that a field chooses from, by their names in files; none if there is no choice."""
    if get_origin(hint) not in (Union, types.UnionType):
        return {}
    return {kind_of(member): member for member in get_args(hint) if is_dataclass(member)}


def _none(hint: Any) -> list[str]:  # noqa: ANN401 - a type
    return ["none"] if type(None) in get_args(hint) else []


def _default(hint: Any) -> Any:  # noqa: ANN401 - a type
    """The value of a field that is none when a setting enters it: its only kind with defaults.

    None if there is a choice of kinds, or if a field of the kind has no default.
    """
    kinds = list(_kinds(hint).values())
    if len(kinds) != 1 or any(own.default is MISSING and own.default_factory is MISSING for own in fields(kinds[0])):
        return None
    return kinds[0]()


def _hints(part: object) -> dict[str, Any]:
    cls = part if isinstance(part, type) else type(part)
    return get_type_hints(cls) if is_dataclass(cls) else {}


def _paths(hint: Any, value: object, before: str = "") -> Iterator[str]:  # noqa: ANN401 - a type
    """The dotted names of all settings of a part."""
    for name, own in _hints(type(value) if is_dataclass(value) else hint).items():
        inner = getattr(value, name)
        inner = _default(own) if inner is None else inner
        if _kinds(own) or not is_dataclass(own):
            yield before + name
        if is_dataclass(inner):
            yield from _paths(type(inner), inner, f"{before}{name}.")
