"""`resatlas solve`: find designs, or widths of a blueprint, with a given number of parameters or multiply-adds."""

import argparse
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.blueprint_file import rule_of, text_with_widths
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage
from resatlas.cli.describe_verb import image_shape
from resatlas.cli.designs import CLASSES_HELP, IMAGE_HELP, family_or_blueprint
from resatlas.cli.display import fitted
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements
from resatlas.designs.catalog import Entry, with_knobs
from resatlas.designs.family import Family
from resatlas.designs.solver.search import Budget, Found, Solution, Solutions, knobs_of, solve, solve_widths
from resatlas.designs.solver.spelling import spelled
from resatlas.errors import FolderError, ResatlasError, UsageError, quoted
from resatlas.runs.files import write_text
from resatlas.values.codec import encode
from resatlas.values.table import Table, numbers, words
from resatlas.values.text import counted

_SCALES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

_A_FILE = Requirement(
    what="the FILE.toml of a blueprint",
    holds=lambda options: options.family.endswith(".toml"),
    otherwise="without FILE.toml",
)
_A_FAMILY = Requirement(
    what="a family; a blueprint has no knobs",
    holds=lambda options: not options.family.endswith(".toml"),
    otherwise="with FILE.toml",
)

OPTIONS: Requirements = {
    "--parameters": ALWAYS,
    "--multiply-adds": ALWAYS,
    "--set": _A_FAMILY,
    "--out": _A_FILE,
    "--tolerance": ALWAYS,
    "--classes": ALWAYS,
    "--image": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "family",
        metavar="FAMILY",
        help="family to search, as in pyramidnet; or the TOML file of a blueprint, whose widths are scaled; or "
        "FILE.py:NAME for one of your own (executes the file)",
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
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.toml",
        help="new file for the nearest design of a blueprint (default: no file)",
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
    sought = family_or_blueprint(options.family)
    return _members(sought, budget, options) if isinstance(sought, Family) else _widths(sought, budget, options)


def _members(family: Family, budget: Budget, options: argparse.Namespace) -> Outcome:
    """The members of a family."""
    name_of = partial(with_knobs, options.family) if ".py:" in options.family else spelled
    knobs = knobs_of(family, options.set)
    solutions = solve(family, budget, knobs=knobs, image=options.image, classes=options.classes)
    searched = _search_text(solutions, solutions.nearest.design.setting)
    _check_within(solutions, budget, options.family, name_of, searched)
    rows = [_row(solution, name_of(solution.design), solution.design.family) for solution in solutions.within]
    text = _text(solutions, [(row["name"], row["family"]) for row in rows], ("name", "family"), budget, searched)
    if solutions.base is not None:
        text = f"no such design has the paper's base width; with base={solutions.base}:\n{text}"
    return Outcome(rows, text)


def _widths(entry: Entry, budget: Budget, options: argparse.Namespace) -> Outcome:
    """The designs of a blueprint with scaled widths; the nearest is written to --out."""
    if options.set:
        raise UsageError(f"{options.family}: a blueprint has no knobs; {quoted(options.set[0])} cannot be set")
    if options.out is not None:
        _check_free(options.out)
    image, classes = options.image or entry.image, entry.classes if options.classes is None else options.classes
    solutions = solve_widths(entry.blueprint, budget, image=image, classes=classes)
    searched = _search_text(solutions, f"images {image}")
    _check_within(solutions, budget, f"{options.family} of other widths", _widths_text, searched)
    rows = [_widths_row(solution, entry, options.family) for solution in solutions.within]
    names = [(entry.name, _widths_text(solution.design)) for solution in solutions.within]
    text = _text(solutions, names, ("name", "widths"), budget, searched)
    if solutions.rounded != "to the nearest":
        text = (
            f"no such design has all widths at the nearest multiple; with widths rounded {solutions.rounded}:\n{text}"
        )
    if options.out is not None:
        _write(options.out, text_with_widths(Path(options.family), solutions.nearest.design))
        text += f"\nthe nearest is in {options.out}"
    return Outcome(rows, text)


def _widths_row(solution: Solution[Blueprint], entry: Entry, source: str) -> dict[str, Any]:
    """The entries of `list` with the widths, and with the text of the design as a file if its source is one."""
    blueprint = solution.design
    return {
        **_row(solution, entry.name, entry.family),
        "stem": blueprint.stem.width,
        "widths": {"rule": rule_of(blueprint.widths), **encode(blueprint.widths)},
        "toml": text_with_widths(Path(source), blueprint) if source.endswith(".toml") else None,
    }


def _check_free(file: Path) -> None:
    """Check that a new TOML file can have this name, before any work.

    Raises: UsageError, FolderError
    """
    if file.suffix != ".toml":
        raise UsageError(f"--out needs a name that ends in .toml, as in {file.stem or 'net'}.toml; got {file}")
    if file.exists() or file.is_symlink():
        raise FolderError(f"{file} exists; give a new name with --out")
    if not file.parent.is_dir():
        raise FolderError(f"{file} cannot be written: {file.parent} is not a folder")


def _write(file: Path, text: str) -> None:
    try:
        write_text(file, text)
    except OSError as error:
        raise FolderError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from None


def _widths_text(blueprint: Blueprint) -> str:
    """The widths of a blueprint in words."""
    match blueprint.widths:
        case PerStage(widths):
            return f"stem {blueprint.stem.width}, stages {'-'.join(map(str, widths))}"
        case AdditivePyramid(start=start, alpha=alpha) | MultiplicativePyramid(start=start, alpha=alpha):
            return f"stem {blueprint.stem.width}, start {start}, alpha {alpha}"
        case _:
            assert_never(blueprint.widths)


def _check_within(
    solutions: Solutions[Found], budget: Budget, what: str, name_of: Callable[[Found], str], searched: str
) -> None:
    """Refuse solutions of which none is within tolerance.

    Raises: ResatlasError with the nearest.
    """
    if not solutions.within:
        nearest, total = solutions.nearest, solutions.nearest.cost
        raise ResatlasError(
            f"no {what} has {_budget_text(budget)}; the nearest is {name_of(nearest.design)} with "
            f"{total.parameters:,} parameters and {total.multiply_adds:,} multiply-adds "
            f"({_percent(nearest.deviation)} off); {searched}"
        )


def _row(solution: Solution[Found], name: str, family: str) -> dict[str, Any]:
    """The entries of `list`."""
    return {
        "name": name,
        "family": family,
        "parameters": solution.cost.parameters,
        "multiply_adds": solution.cost.multiply_adds,
    }


def _text(
    solutions: Solutions[Found], names: list[tuple[str, str]], columns: tuple[str, str], budget: Budget, searched: str
) -> str:
    cells = tuple(
        (*name, solution.cost.parameters, solution.cost.multiply_adds, _percent(solution.deviation))
        for name, solution in zip(names, solutions.within, strict=True)
    )
    table = Table(columns=(*words(*columns), *numbers("parameters", "multiply-adds", "off by")), rows=cells)
    count = counted(len(names), "design")
    return f"{fitted(table)}\n{count} with {_budget_text(budget)}, nearest first; {searched}"


def _budget_text(budget: Budget) -> str:
    """The sizes and the tolerance of a budget."""
    counts = {"parameters": budget.parameters, "multiply-adds": budget.multiply_adds}
    sizes = " and ".join(f"{number:,} {name}" for name, number in counts.items() if number is not None)
    return f"{sizes} within {float(100 * budget.tolerance):g}%"


def _search_text(solutions: Solutions[Found], place: str) -> str:
    """The number of combinations and the bounds of a search."""
    bounds = ", ".join(map(str, solutions.bounds))
    return f"searched {counted(solutions.combinations, 'combination')} for {place}: {bounds}"


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):.2f}%"
