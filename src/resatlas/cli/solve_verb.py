"""`resatlas solve`: find designs with a given number of parameters or multiply-adds."""

import argparse
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

from resatlas.cli.describe_verb import image_shape
from resatlas.cli.designs import CLASSES_HELP, IMAGE_HELP, family_named
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.designs.catalog import with_knobs
from resatlas.designs.solver.search import Budget, Solution, Solutions, knobs_of, solve
from resatlas.designs.solver.spelling import spelled
from resatlas.designs.tasks import Design
from resatlas.errors import ResatlasError
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import counted

_SCALES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

OPTIONS: Requirements = {
    "--parameters": ALWAYS,
    "--multiply-adds": ALWAYS,
    "--set": ALWAYS,
    "--tolerance": ALWAYS,
    "--classes": ALWAYS,
    "--image": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "family", metavar="FAMILY", help="family to search, as in pyramidnet, or FILE.py:NAME (executes the file)"
    )
    parser.add_argument(
        "--parameters", type=_count, metavar="N", help="number of parameters, as in 1.7M or 250k (default: any)"
    )
    parser.add_argument(
        "--multiply-adds",
        type=_count,
        metavar="N",
        help="multiply-adds for one image, as in 40.6M or 3.8G (default: any)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KNOB=VALUE",
        help="fix a knob, as in depth=110; repeatable (default: all knobs are searched)",
    )
    parser.add_argument(
        "--tolerance",
        type=_percentage,
        default=Fraction(1, 20),
        metavar="P%",
        help="largest relative deviation from the sizes (default: 5%%)",
    )
    parser.add_argument("--classes", type=int, metavar="N", help=CLASSES_HELP)
    parser.add_argument("--image", type=image_shape, metavar="C,H,W", help=IMAGE_HELP)


def _count(text: str) -> int:
    """The whole number that is written 1.7M, 250k, 3.8G, 1700000 or 1,700,000."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,12})?|\d{1,3}(?:,\d{3}){1,5})([kMG]?)", text, re.ASCII)
    number = Fraction(match[1].replace(",", "")) * _SCALES[match[2]] if match else Fraction(0)
    if number < 1 or number.denominator != 1:
        raise argparse.ArgumentTypeError(f'expected a size such as 1.7M, 250k, 3.8G or 1700000; got "{text[:40]}"')
    return number.numerator


def _percentage(text: str) -> Fraction:
    """The fraction that is written 5%."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f'expected a percentage such as 5% or 0.5%; got "{text[:40]}"')
    return Fraction(match[1]) / 100


def run(options: argparse.Namespace) -> Outcome:
    """The members within the tolerance, nearest first; an error that names the nearest if there is none."""
    budget = Budget(parameters=options.parameters, multiply_adds=options.multiply_adds, tolerance=options.tolerance)
    family = family_named(options.family)
    name_of = partial(with_knobs, options.family) if ".py:" in options.family else spelled
    knobs = knobs_of(family, options.set)
    solutions = solve(family, budget, knobs=knobs, image=options.image, classes=options.classes)
    target = _budget_text(budget)
    if not solutions.within:
        raise ResatlasError(
            f"no {options.family} has {target}; the nearest is {_solution_text(solutions.nearest, name_of)}; "
            f"{_search_text(solutions)}"
        )
    rows = [_row(solution, name_of) for solution in solutions.within]
    return Outcome(rows, _text(solutions, rows, target))


def _row(solution: Solution, name_of: Callable[[Design], str]) -> dict[str, Any]:
    return {
        "name": name_of(solution.design),
        "family": solution.design.family,
        "parameters": solution.cost.parameters,
        "multiply_adds": solution.cost.multiply_adds,
    }


def _text(solutions: Solutions, rows: list[dict[str, Any]], target: str) -> str:
    columns = (*words("name", "family"), *numbers("parameters", "multiply-adds", "off by"))
    cells = tuple(
        (*row.values(), _percent(solution.deviation)) for row, solution in zip(rows, solutions.within, strict=True)
    )
    lines = [
        aligned(Table(columns=columns, rows=cells)),
        f"{counted(len(rows), 'design')} with {target}, nearest first; {_search_text(solutions)}",
    ]
    if solutions.base is not None:
        lines.insert(0, f"no such design has the paper's base width; with base={solutions.base}:")
    return "\n".join(lines)


def _budget_text(budget: Budget) -> str:
    """The sizes and the tolerance of a budget."""
    counts = {"parameters": budget.parameters, "multiply-adds": budget.multiply_adds}
    sizes = " and ".join(f"{number:,} {name}" for name, number in counts.items() if number is not None)
    return f"{sizes} within {float(100 * budget.tolerance):g}%"


def _search_text(solutions: Solutions) -> str:
    """The number of combinations and the bounds of a search."""
    setting = solutions.nearest.design.setting
    bounds = ", ".join(map(str, solutions.bounds))
    return f"searched {counted(solutions.combinations, 'combination')} for {setting}: {bounds}"


def _solution_text(solution: Solution, name_of: Callable[[Design], str]) -> str:
    total = solution.cost
    return (
        f"{name_of(solution.design)} with {total.parameters:,} parameters and {total.multiply_adds:,} multiply-adds "
        f"({_percent(solution.deviation)} off)"
    )


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):.2f}%"
