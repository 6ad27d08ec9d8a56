"""`resatlas list`: the catalogue of designs, or of recipes."""

import argparse

from resatlas.arch.cost import cost
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.designs.catalog import matching
from resatlas.recipes import catalog as recipes
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned

OPTIONS: Requirements = {
    "--recipes": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="names or a family, as in wrn-*")

    parser.add_argument("--recipes", action="store_true", help="the recipes, in place of the designs")


def run(options: argparse.Namespace) -> Outcome:
    """The designs that match, or the recipes."""
    return _recipes(options.pattern) if options.recipes else _designs(options.pattern)


def _recipes(pattern: str) -> Outcome:
    found = recipes.matching(pattern)
    data = [
        {"name": each.name, "source": each.source, "data": each.data, "epochs": each.epochs, "batch": each.batch}
        for each in found
    ]
    rows = tuple((each.name, str(each.epochs), str(each.batch), each.data or "any", each.source) for each in found)
    table = aligned(Table(columns=words("name", "epochs", "batch", "data", "source"), rows=rows))
    return Outcome(data, f"{table}\n{len(data)} recipes; each in full: resatlas describe --recipe NAME")


def _designs(pattern: str) -> Outcome:
    """Parameters and multiply-adds of every entry that matches, for its usual images and classes."""
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
    return Outcome(data, f"{table}\n{len(data)} designs; any other member of a family resolves too, as in wrn-28-3")
