"""How a training differs from the recipe that it names."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from resatlas.arch.ops import Dropout
from resatlas.arch.plan import Plan, layers
from resatlas.data.dataset import DataSet
from resatlas.data.fitting import left_out
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.schedule import turns
from resatlas.values.codec import kind_of


def departures(recipe: Recipe, data: DataSet, plan: Plan) -> Iterator[str]:
    """A sentence for each difference between a training and the recipe that it names."""
    named = recipes.NAMED.get(recipe.name)
    if named:
        yield from _otherwise(recipe, named)
    yield from left_out(recipe.steps, data)
    inside = [layer.op for path, layer in layers(plan) if path.startswith("stages.")]
    rates = {op.rate for op in inside if isinstance(op, Dropout)} or {0.0}
    strange = [rate for rate in rates if rate not in recipe.dropouts]
    if strange:
        usual = " or ".join(f"{rate:g}" for rate in recipe.dropouts)
        yield f"dropout rate of the network {strange[0]:g} (recipe {recipe.name}: {usual})"
    streams = [stream for _, unit in plan.units for stream in unit.streams]
    if recipe.stochastic_depth and all(stream.shortcut is None for stream in streams):
        yield "stochastic depth has no effect: no shortcuts"


def _otherwise(recipe: Recipe, named: Recipe) -> Iterator[str]:
    """A sentence for every value in which a recipe differs from the one of its name."""
    if recipe.iterations != named.iterations and recipe.iterations:
        usual = f"{named.iterations:,}" if named.iterations else f"{named.epochs:,} epochs"
        yield f"{recipe.iterations:,} iterations (recipe {named.name}: {usual})"
    elif (named.epochs, named.iterations) != (recipe.epochs, recipe.iterations):
        drops = [f"{float(turn * recipe.epochs):g}" for turn in turns(recipe.schedule) if turn]
        scaled = f"; its schedule changes after {', '.join(drops)} epochs" if drops else ""
        yield f"{recipe.epochs} epochs (recipe {recipe.name}: {named.epochs}){scaled}"
    for path, own, usual in _differences(recipe, named):
        if path not in ("epochs", "iterations"):
            yield f"{path} {_described(own)} (recipe {named.name}: {_described(usual)})"


def _differences(own: object, usual: object, before: str = "") -> Iterator[tuple[str, object, object]]:
    """(dotted path, own value, usual value) of everything in which two values of one class differ."""
    for each in fields(own):  # type: ignore[arg-type]
        path, mine, theirs = before + each.name, getattr(own, each.name), getattr(usual, each.name)
        if is_dataclass(mine) and type(mine) is type(theirs):
            yield from _differences(mine, theirs, f"{path}.")
        elif mine != theirs:
            yield path, mine, theirs


def _described(value: object) -> str:
    """A value in words: of a part its kind and its own values."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(_described, value))
    if not is_dataclass(value):
        return str(value)
    own = ", ".join(f"{each.name} {_described(getattr(value, each.name))}" for each in fields(value))
    return f"{kind_of(type(value))} ({own})" if own else kind_of(type(value))  # type: ignore[arg-type]
