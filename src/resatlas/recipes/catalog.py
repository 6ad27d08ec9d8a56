"""Every recipe by name, and recipes with some fields set anew."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar, get_type_hints

from resatlas.arch.codec import decode_text
from resatlas.errors import RecipeError, UnknownName, unknown
from resatlas.recipes import dmrnet, pyramidnet, quick, resnet, resnext, wide_resnet
from resatlas.recipes.recipe import Recipe, with_epochs

NAMED: Mapping[str, Recipe] = {
    name: recipe
    for module in (quick, resnet, wide_resnet, resnext, pyramidnet, dmrnet)
    for name, recipe in module.NAMED.items()
}

T = TypeVar("T")


def resolve(name: str) -> Recipe:
    """The recipe of that name.

    Raises: UnknownName with the nearest names.
    """
    if name not in NAMED:
        raise UnknownName(unknown("recipe", name, NAMED, where="all: resatlas list --recipes"))
    return NAMED[name]


def matching(pattern: str = "*") -> list[Recipe]:
    """The recipes whose name matches a shell pattern.

    Raises: UnknownName if none does.
    """
    found = [recipe for name, recipe in NAMED.items() if fnmatchcase(name, pattern)]
    if not found:
        raise UnknownName(unknown("recipe matching", pattern, NAMED, where="all: resatlas list --recipes"))
    return found


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with fields set anew, each written key=value; a dot enters a field, as in schedule.peak=0.2.

    Raises: UnknownName for a field that is not there, RecipeError for a doubled or malformed setting.
    """
    tree: dict[str, Any] = {}
    seen: set[str] = set()
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not value:
            raise RecipeError(f'a setting is written key=value, as in schedule.peak=0.2; "{setting[:60]}" is not')
        if key in seen:
            raise RecipeError(f'setting "{key}" is given twice')
        seen.add(key)
        _plant(tree, recipe, key, value)
    changed = _set(recipe, tree)
    if "epochs" in seen and "iterations" not in seen:
        return with_epochs(changed, changed.epochs)
    return changed


def _plant(tree: dict[str, Any], recipe: Recipe, key: str, value: str) -> None:
    """Put a value into a tree of changes, decoded as its field wants it."""
    part: Any = recipe
    *way, name = key.split(".")
    for step in (*way, name):
        if not is_dataclass(part) or step not in {each.name for each in fields(part)}:
            raise UnknownName(unknown("recipe field", key, _paths(recipe)))
        hint, part = get_type_hints(type(part))[step], getattr(part, step)
    if is_dataclass(part) or isinstance(part, tuple):
        raise RecipeError(f"{key} is not set as a whole; what can be set is {', '.join(_paths(recipe))}")
    for step in way:
        tree = tree.setdefault(step, {})
    tree[name] = decode_text(hint, value, where=key)


def _set(part: T, tree: Mapping[str, Any]) -> T:
    """The part with the changes of a tree, checked once."""
    values = {name: _set(getattr(part, name), each) if isinstance(each, dict) else each for name, each in tree.items()}
    return replace(part, **values)  # type: ignore[type-var]


def _paths(part: object) -> list[str]:
    found: list[str] = []
    for each in fields(part):  # type: ignore[arg-type]
        value = getattr(part, each.name)
        if is_dataclass(value):
            found += [f"{each.name}.{inner}" for inner in _paths(value)]
        elif not isinstance(value, tuple):
            found.append(each.name)
    return found
