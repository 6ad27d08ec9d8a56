"""What a training does otherwise than the recipe whose name it has."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from resatlas.arch.ops import Dropout
from resatlas.arch.plan import Plan, layers
from resatlas.data.dataset import DataSet
from resatlas.data.fitting import left_out
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.schedule import turns


def departures(recipe: Recipe, data: DataSet, plan: Plan) -> Iterator[str]:
    """A sentence for everything that a training does otherwise than the recipe of that name says."""
    named = recipes.NAMED.get(recipe.name)
    if named:
        yield from _otherwise(recipe, named)
    yield from left_out(recipe.steps, data)
    inside = [layer.op for path, layer in layers(plan) if path.startswith("stages.")]
    rates = {op.rate for op in inside if isinstance(op, Dropout)} or {0.0}
    strange = [rate for rate in rates if rate not in recipe.dropouts]
    if strange:
        usual = " or ".join(f"{rate:g}" for rate in recipe.dropouts)
        yield f"the network drops out at a rate of {strange[0]:g}; {recipe.name} goes with {usual}"


def _otherwise(recipe: Recipe, named: Recipe) -> Iterator[str]:
    """A sentence for every value in which a recipe differs from the one of its name."""
    if recipe.iterations != named.iterations and recipe.iterations:
        yield f"{recipe.iterations:,} iterations in place of the {named.iterations or named.epochs:,} of {named.name}"
    elif (named.epochs, named.iterations) != (recipe.epochs, recipe.iterations):
        drops = [f"{float(turn * recipe.epochs):g}" for turn in turns(recipe.schedule) if turn]
        scaled = f", its learning rate turning after {', '.join(drops)} of them" if drops else ""
        yield f"{recipe.epochs} epochs in place of the {named.epochs} of {recipe.name}{scaled}"
    own, usual = flat(recipe), flat(named)
    for path in [path for path in own if path not in ("epochs", "iterations") and own[path] != usual.get(path)]:
        yield f"{path} is {own[path]} in place of {usual.get(path)}"


def flat(part: object) -> dict[str, object]:
    """The values of a dataclass by their dotted paths."""
    found: dict[str, object] = {}
    for each in fields(part):  # type: ignore[arg-type]
        value = getattr(part, each.name)
        inner = flat(value) if is_dataclass(value) else {}
        found |= {f"{each.name}.{path}": own for path, own in inner.items()} or {each.name: value}
    return found
