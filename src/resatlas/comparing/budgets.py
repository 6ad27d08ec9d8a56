"""What a network takes of a budget, and which designs can be compared at an equal one."""

from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction
from typing import Literal, assert_never, get_args

from resatlas.comparing.bounds import at_equal
from resatlas.comparing.claims import Amount
from resatlas.comparing.questions import SIZES, Group

Budget = Literal["parameters", "multiply-adds", "seconds"]

BUDGETS: tuple[Budget, ...] = get_args(Budget)
"""What errors are drawn over."""

Equal = Literal["multiply-adds", "parameters"]

DECIDING: tuple[Equal, ...] = get_args(Equal)
"""Budgets at which designs are judged, the first of them first; seconds are a cost of the machine."""


def amount_of(group: Group, budget: Budget) -> float:
    """What a network of the group takes of a budget."""
    match budget:
        case "parameters":
            return group.row.parameters
        case "multiply-adds":
            return group.row.multiply_adds
        case "seconds":
            return group.seconds
        case _:
            assert_never(budget)


def amount_in_words(budget: Budget, amount: float) -> str:
    """The amount with its unit."""
    return f"{amount:,.1f} s" if budget == "seconds" else f"{amount:,.0f} {budget}"


def comparisons(
    budget: Equal, first: Group, second: Group, known: Sequence[Group]
) -> tuple[tuple[float, Amount], ...] | str:
    """The amounts of a budget at which two designs are compared, with bounds over the known groups; else why not."""
    amounts = [amount_of(group, budget) for group in known]
    a, b = amount_of(first, budget), amount_of(second, budget)
    if not (a > 0 and b > 0):
        return f"{budget} are not known"
    kinds = [
        (group.kind, replace(group.experiment, design="")) if amount > 0 else None
        for group, amount in zip(known, amounts, strict=True)
    ]
    found = at_equal(known.index(first), known.index(second), amounts, kinds)
    if found:
        return found
    if first.kind == second.kind:
        return f"{amount_in_words(budget, a)} against {amount_in_words(budget, b)}: two sizes of one kind"
    return (
        f"no runs at comparable {budget}: {a:,.0f} against {b:,.0f}; "
        f"train a design that `{making(budget, *((second, a) if a <= b else (first, b)))}` finds"
    )


def making(budget: Equal, like: Group, amount: float) -> str:
    """The command that searches a design like another at an amount, for the same images and classes."""
    words = ["resatlas solve", like.row.family, f"--{budget} {amount:.0f}"]
    design = like.entry.design if like.entry else None
    if design is not None:
        for knob in fields(design):  # type: ignore[arg-type]
            value = getattr(design, knob.name)
            if knob.name not in SIZES and value != knob.default and isinstance(value, int | str | Fraction):
                words.append(f"--set {knob.name}={value}")
    plan = like.runs[0].plan
    words.append(f"--image {plan.image.channels},{plan.image.height},{plan.image.width} --classes {plan.classes}")
    return " ".join(words)
