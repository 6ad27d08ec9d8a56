"""Every recipe by name."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from resatlas.errors import UnknownName, unknown
from resatlas.recipes import (
    bag_of_tricks,
    detectors,
    dmrnet,
    modern,
    pyramidnet,
    quick,
    regnet,
    res2net,
    resnet,
    resnext,
    senet,
    shake_shake,
    stochastic_depth,
    wide_resnet,
)
from resatlas.recipes.recipe import Recipe

NAMED: Mapping[str, Recipe] = {
    name: recipe
    for module in (
        quick,
        resnet,
        wide_resnet,
        resnext,
        pyramidnet,
        dmrnet,
        modern,
        bag_of_tricks,
        senet,
        regnet,
        res2net,
        shake_shake,
        stochastic_depth,
        detectors,
    )
    for name, recipe in module.NAMED.items()
}


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
    recipes = [recipe for name, recipe in NAMED.items() if fnmatchcase(name, pattern)]
    if not recipes:
        raise UnknownName(unknown("recipe matching", pattern, NAMED, where="all: resatlas list --recipes"))
    return recipes
