"""`resatlas list`: list the designs, or the recipes."""

import argparse

from resatlas.arch.cost import cost
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.designs.catalog import matching
from resatlas.recipes import catalog as recipes
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import counted

PATTERN_HELP = "a pattern of names, as in 'wrn-*', or a family (default: all)"

OPTIONS: Requirements = {
    "--recipes": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help=PATTERN_HELP)
    parser.add_argument("--recipes", action="store_true", help="list the recipes (default: the designs)")


def run(options: argparse.Namespace) -> Outcome:
    """The designs or the recipes that match the pattern."""
    return _recipes(options.pattern) if options.recipes else _designs(options.pattern)


def _recipes(pattern: str) -> Outcome:
    matches = recipes.matching(pattern)
    data = [
        {
            "name": recipe.name,
            "source": recipe.source,
            "data": recipe.data,
            "epochs": recipe.epochs,
            "batch": recipe.batch,
        }
        for recipe in matches
    ]
    rows = tuple(
        (recipe.name, str(recipe.epochs), str(recipe.batch), recipe.data or "any", recipe.source) for recipe in matches
    )
    table = aligned(Table(columns=words("name", "epochs", "batch", "data", "source"), rows=rows))
    return Outcome(data, f"{table}\n{len(data)} recipes; all fields of one: resatlas describe --recipe NAME")


def _designs(pattern: str) -> Outcome:
    """Parameters and multiply-adds of every design that matches, for its usual images and classes."""
    costs = [(entry, cost(entry.plan())) for entry in matching(pattern)]
    data = [
        {
            "name": entry.name,
            "family": entry.family,
            "parameters": total.parameters,
            "multiply_adds": total.multiply_adds,
        }
        for entry, total in costs
    ]
    columns = (*words("name", "family"), *numbers("parameters", "multiply-adds"))
    rows = tuple((entry.name, entry.family, total.parameters, total.multiply_adds) for entry, total in costs)
    table = aligned(Table(columns=columns, rows=rows))
    return Outcome(data, f"{table}\n{counted(len(data), 'design')}; other members of a family work too, as in wrn-28-3")
