"""`resatlas solve`: designs that cost what is asked for."""

import argparse
import re
from fractions import Fraction
from typing import Any

from resatlas.cli.describe_verb import image_shape
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.designs.solver.search import Budget, Solution, Solutions, knobs_of, solve
from resatlas.designs.solver.spelling import spelled
from resatlas.errors import ResatlasError
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned

SCALES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

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
    parser.add_argument("family", metavar="FAMILY", help="the family whose members are searched, as in pyramidnet")
    parser.add_argument("--parameters", type=count, metavar="N", help="parameters to have, as in 1.7M or 250k")
    parser.add_argument(
        "--multiply-adds", type=count, metavar="N", help="multiply-adds of one image, as in 40.6M or 3.8G"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KNOB=VALUE",
        help="a knob that stays, as in depth=110; repeatable",
    )
    parser.add_argument(
        "--tolerance",
        type=percentage,
        default=Fraction(1, 20),
        metavar="P%",
        help="how far off a size may be; 5%% if not said",
    )
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes; 0 leaves out the classifier")
    parser.add_argument("--image", type=image_shape, metavar="C,H,W", help="shape of an image, as in 3,32,32")


def count(text: str) -> int:
    """The whole number that 1.7M, 250k, 3.8G, 1700000 or 1,700,000 means."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,12})?|\d{1,3}(?:,\d{3}){1,5})([kMG]?)", text, re.ASCII)
    number = Fraction(match[1].replace(",", "")) * SCALES[match[2]] if match else Fraction(0)
    if number < 1 or number.denominator != 1:
        raise argparse.ArgumentTypeError(f'"{text[:40]}" is not a size, such as 1.7M, 250k, 3.8G or 1700000')
    return number.numerator


def percentage(text: str) -> Fraction:
    """The share that 5% means."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f'"{text[:40]}" is not a percentage, such as 5% or 0.5%')
    return Fraction(match[1]) / 100


def run(options: argparse.Namespace) -> Outcome:
    """Every member within tolerance, nearest first; an error with the nearest member if there is none."""
    budget = Budget(parameters=options.parameters, multiply_adds=options.multiply_adds, tolerance=options.tolerance)
    knobs = knobs_of(options.family, options.set)
    solutions = solve(options.family, budget, knobs=knobs, image=options.image, classes=options.classes)
    asked = _asked(budget)
    if not solutions.within:
        raise ResatlasError(
            f"no {options.family} has {asked}; the nearest is {_told(solutions.nearest)}; {_searched(solutions)}"
        )
    rows = [_row(each) for each in solutions.within]
    return Outcome(rows, _text(solutions, rows, asked))


def _row(solution: Solution) -> dict[str, Any]:
    return {
        "name": spelled(solution.design),
        "family": solution.design.family,
        "parameters": solution.cost.parameters,
        "multiply_adds": solution.cost.multiply_adds,
    }


def _text(solutions: Solutions, rows: list[dict[str, Any]], asked: str) -> str:
    columns = (*words("name", "family"), *numbers("parameters", "multiply-adds", "off by"))
    cells = tuple((*row.values(), _percent(each.deviation)) for row, each in zip(rows, solutions.within, strict=True))
    lines = [
        aligned(Table(columns=columns, rows=cells)),
        f"{_counted(len(rows), 'design')} with {asked}, nearest first; {_searched(solutions)}",
    ]
    if solutions.base is not None:
        lines.insert(
            0, f"no member of this family at the paper's base width here; with base={solutions.base} there is:"
        )
    return "\n".join(lines)


def _asked(budget: Budget) -> str:
    """What is asked for, in words."""
    counts = {"parameters": budget.parameters, "multiply-adds": budget.multiply_adds}
    sizes = " and ".join(f"{number:,} {name}" for name, number in counts.items() if number is not None)
    return f"{sizes} within {float(100 * budget.tolerance):g}%"


def _searched(solutions: Solutions) -> str:
    """The bounds, in words."""
    setting = solutions.nearest.design.setting
    bounds = ", ".join(map(str, solutions.bounds))
    return f"looked at {_counted(solutions.combinations, 'combination')} for {setting}: {bounds}"


def _told(solution: Solution) -> str:
    total = solution.cost
    return (
        f"{spelled(solution.design)} with {total.parameters:,} parameters and {total.multiply_adds:,} multiply-adds "
        f"({_percent(solution.deviation)} off)"
    )


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):.2f}%"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
