"""How much of a budget a network uses, and which designs can be compared at an equal budget."""

from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Literal, assert_never, get_args

from resatlas.comparing.bounds import comparable_amounts
from resatlas.comparing.claims import Ways
from resatlas.comparing.questions import SIZES, Group
from resatlas.values.language import known, said

Budget = Literal["parameters", "multiply-adds", "seconds"]

BUDGETS: tuple[Budget, ...] = get_args(Budget)
"""Budgets over which errors are plotted."""

DecidingBudget = Literal["multiply-adds", "parameters"]

DECIDING: tuple[DecidingBudget, ...] = get_args(DecidingBudget)
"""Budgets at which designs are judged, in order of priority; seconds depend on the machine."""


def amount_of(group: Group, budget: Budget) -> float:
    """The amount of a budget that one network of the group uses."""
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
    return (
        f"{amount:,.1f} s" if budget == "seconds" else said("{amount:,.0f} {unit}", amount=amount, unit=known(budget))
    )


def comparable_at(
    budget: DecidingBudget, first: Group, second: Group, groups: Sequence[Group]
) -> tuple[tuple[float, Ways], ...] | str:
    """The amounts of a budget at which two groups can be compared, with bounds over all groups; else why not."""
    amounts = [amount_of(group, budget) for group in groups]
    a, b = amount_of(first, budget), amount_of(second, budget)
    if not (a > 0 and b > 0):
        return said("{budget} are not known", budget=known(budget))
    kinds = [
        (group.kind, group.experiment.conditions) if amount > 0 else None
        for group, amount in zip(groups, amounts, strict=True)
    ]
    comparable = comparable_amounts(groups.index(first), groups.index(second), amounts, kinds)
    if comparable:
        return comparable
    if first.kind == second.kind:
        one, other = amount_in_words(budget, a), amount_in_words(budget, b)
        return said("{one} against {other}: two sizes of one kind", one=one, other=other)
    command = solve_command(budget, *((second, a) if a <= b else (first, b)))
    return said(
        "no runs at comparable {budget}: {first:,.0f} against {second:,.0f}; train a design that `{command}` finds",
        budget=known(budget),
        first=a,
        second=b,
        command=command,
    )


def solve_command(budget: DecidingBudget, like: Group, amount: float) -> str:
    """The command that finds a design of the same kind at an amount, for the same images and classes."""
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
