"""`resatlas list`: the catalogue."""

import argparse

from resatlas.arch.cost import cost
from resatlas.arch.text import aligned
from resatlas.cli.outcome import Outcome
from resatlas.designs.catalog import matching


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="names or a family, as in wrn-*")


def run(options: argparse.Namespace) -> Outcome:
    """Parameters and multiply-adds of every entry that matches, for its usual images and classes."""
    costs = [(entry, cost(entry.plan())) for entry in matching(options.pattern)]
    data = [
        {
            "name": entry.name,
            "family": entry.family,
            "parameters": total.parameters,
            "multiply_adds": total.multiply_adds,
        }
        for entry, total in costs
    ]
    cells = [(entry.name, entry.family, f"{total.parameters:,}", f"{total.multiply_adds:,}") for entry, total in costs]
    table = aligned(("name", "family", "parameters", "multiply-adds"), cells, left=2)
    return Outcome(data, f"{table}\n{len(data)} designs; any other member of a family resolves too, as in wrn-28-3")
