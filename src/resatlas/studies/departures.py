"""Differences between a training and the recipe that it names, known before it starts."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from resatlas.arch.ops import Dropout
from resatlas.arch.plan import Plan, layers
from resatlas.data.boxes import DetectionData
from resatlas.data.dataset import DataSet
from resatlas.data.fitting import left_out
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.schedule import turns
from resatlas.values.codec import kind_of
from resatlas.values.text import counted


def departures(recipe: Recipe, data: DataSet | DetectionData, plan: Plan) -> Iterator[str]:
    """A sentence for each difference between a training and the recipe that it names."""
    named = recipes.NAMED.get(recipe.name)
    if named:
        yield from _changes(recipe, named)
    yield from left_out(recipe.steps, data)
    ops = [layer.op for path, layer in layers(plan) if path.startswith("stages.")]
    rates = {op.rate for op in ops if isinstance(op, Dropout)} or {0.0}
    unusual = [rate for rate in rates if rate not in recipe.dropouts]
    if unusual:
        usual = " or ".join(f"{rate:g}" for rate in recipe.dropouts)
        yield f"dropout rate of the network {unusual[0]:g} (recipe {recipe.name}: {usual})"
    streams = [stream for _, unit in plan.units for stream in unit.streams]
    if recipe.stochastic_depth and all(stream.shortcut is None for stream in streams):
        yield "stochastic depth has no effect: no shortcuts"


def _changes(recipe: Recipe, named: Recipe) -> Iterator[str]:
    """A sentence for every value in which a recipe differs from the recipe of the same name."""
    if recipe.iterations != named.iterations and recipe.iterations:
        usual = f"{named.iterations:,}" if named.iterations else f"{named.epochs:,} epochs"
        yield f"{recipe.iterations:,} iterations (recipe {named.name}: {usual})"
    elif (named.epochs, named.iterations) != (recipe.epochs, recipe.iterations):
        drops = [f"{float(turn * recipe.epochs):g}" for turn in turns(recipe.schedule) if turn]
        scaled = f"; its schedule changes after {', '.join(drops)} epochs" if drops else ""
        yield f"{counted(recipe.epochs, 'epoch')} (recipe {recipe.name}: {named.epochs}){scaled}"
    for path, own, usual in _differences(recipe, named):
        if path not in ("epochs", "iterations"):
            yield f"{path} {_text(own)} (recipe {named.name}: {_text(usual)})"


def _differences(own: object, usual: object, before: str = "") -> Iterator[tuple[str, object, object]]:
    """(dotted path, own value, usual value) of every field in which two values of one class differ."""
    for field in fields(own):  # type: ignore[arg-type]
        path, one, other = before + field.name, getattr(own, field.name), getattr(usual, field.name)
        if is_dataclass(one) and type(one) is type(other):
            yield from _differences(one, other, f"{path}.")
        elif one != other:
            yield path, one, other


def _text(value: object) -> str:
    """A value as text; a dataclass as its kind and its fields."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if not is_dataclass(value):
        return str(value)
    content = ", ".join(f"{field.name} {_text(getattr(value, field.name))}" for field in fields(value))
    return f"{kind_of(type(value))} ({content})" if content else kind_of(type(value))  # type: ignore[arg-type]
