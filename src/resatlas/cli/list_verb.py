"""`resatlas list`: list the designs, or the recipes."""

import argparse
import re
from typing import Any

from resatlas.arch.cost import cost
from resatlas.cli.display import fitted, line_width
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.designs.catalog import Entry, families, matching
from resatlas.designs.published import error_of
from resatlas.recipes import catalog as recipes
from resatlas.values.folding import folded
from resatlas.values.table import Column, Table, cell_text, numbers, words
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
    table = fitted(Table(columns=words("name", "epochs", "batch", "data", "source"), rows=rows))
    more = "all fields of one: resatlas train DESIGN --recipe NAME --print-config"
    return Outcome(data, f"{table}\n{len(data)} recipes; one in words: resatlas describe --recipe NAME\n{more}")


def _designs(pattern: str) -> Outcome:
    """Every design that matches, for its usual images and classes, with an error that was published for it."""
    entries = sorted(matching(pattern), key=_place)
    data = [_design(entry) for entry in entries]
    count = counted(len(data), "design")
    return Outcome(data, f"{fitted(_table(data))}\n{count}; other members of a family work too, as in wrn-28-3")


def _table(data: list[dict[str, Any]]) -> Table:
    """A line per design, or two where the terminal is narrower than one."""
    columns = (
        *words("name", "family", "arXiv"),
        *numbers("image", "parameters", "multiply-adds"),
        Column("published error", "%"),
        *words("on"),
    )
    rows = tuple(
        (
            row["name"],
            row["family"],
            row["arxiv"],
            "x".join(map(str, row["image"])),
            f"{row['parameters']:,}",
            f"{row['multiply_adds']:,}",
            cell_text(None if row["published_error"] is None else str(row["published_error"])),
            cell_text(row["published_on"]),
        )
        for row in data
    )
    wide, width = Table(columns=columns, rows=rows), line_width()
    if width is None or folded(wide, width).width <= width:
        return wide
    return Table(
        columns=(
            *words("name", "family\narXiv"),
            *numbers("image", "parameters\nmultiply-adds"),
            *words("published error (%)\non"),
        ),
        rows=tuple(
            (name, f"{family}\n{paper}", image, f"{parameters}\n{multiply_adds}", f"{error}\n{on}")
            for name, family, paper, image, parameters, multiply_adds, error, on in rows
        ),
    )


def _design(entry: Entry) -> dict[str, Any]:
    total, figure = cost(entry.plan()), error_of(entry)
    return {
        "name": entry.name,
        "family": entry.family,
        "arxiv": families()[entry.family].paper.arxiv,
        "image": list(entry.image),
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
        "published_error": None if figure is None else float(figure.value),
        "published_on": None if figure is None else figure.dataset,
    }


def _place(entry: Entry) -> tuple[object, ...]:
    """Families as in the catalogue; in each small images first, then names that begin with its word, then numbers."""
    family = families()[entry.family]
    own_word = entry.name.startswith(family.grammar.word)
    return list(families()).index(entry.family), entry.image, not own_word, _counted(entry.name)


def _counted(name: str) -> tuple[str | int, ...]:
    """The words and the numbers of a name, by which 14 comes before 110."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name))
