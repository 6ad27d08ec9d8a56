"""What two designs would differ by at an equal budget: of parameters, of multiply-adds.

Seconds are a budget too, but none that verdicts use: see `seconds`.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never, get_args

from resatlas.reporting.comparison import APART
from resatlas.reporting.questions import Group, sizes_of

Budget = Literal["parameters", "multiply-adds", "seconds"]

BUDGETS: tuple[Budget, ...] = get_args(Budget)

DECIDING: tuple[Budget, ...] = ("parameters", "multiply-adds")
"""Those at which designs are compared: they are the same on every machine."""


class Contrast(NamedTuple):
    """A weighted sum of the groups' mean errors: one design's error less another's, both at `amount` of a budget."""

    budget: Budget
    amount: float
    terms: tuple[tuple[Group, float], ...]


def amount_of(group: Group, budget: Budget) -> float:
    """What a net of the group takes of a budget."""
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


def equal(one: float, other: float) -> bool:
    """Whether two amounts are within 10 % of each other."""
    return max(one, other) <= APART * min(one, other)


def at_equal(budget: Budget, first: Group, second: Group, everyone: Sequence[Group]) -> tuple[Contrast, ...] | str:
    """The first design's error less the second's at an equal budget, or why it cannot be told.

    Where the budgets are equal it is that of the two groups. Else each is held against the other's kind at its own
    budget: between two sizes of a kind, trained alike, the error is taken to be linear in the logarithm of the budget.
    """
    a, b = amount_of(first, budget), amount_of(second, budget)
    if not (a > 0 and b > 0):
        return f"{budget}: not known"
    if equal(a, b):
        return (Contrast(budget, a, ((first, 1.0), (second, -1.0))),)
    amounts = f"{amount_in_words(budget, a)} against {amount_in_words(budget, b)}"
    if first.kind == second.kind:
        return f"{amounts}: two sizes of one kind"
    theirs, ours = _at(budget, a, second, everyone), _at(budget, b, first, everyone)
    found: list[Contrast] = []
    if theirs:
        found.append(Contrast(budget, a, ((first, 1.0), *((group, -weight) for group, weight in theirs))))
    if ours:
        found.append(Contrast(budget, b, (*ours, (second, -1.0))))
    return tuple(found) or f"{amounts}, and no sizes of either about the other's"


def _at(budget: Budget, amount: float, like: Group, everyone: Sequence[Group]) -> tuple[tuple[Group, float], ...]:
    """The weights with which the groups of a kind give its error at an amount; none where it lies outside them."""
    sizes = sorted(
        (group for group in sizes_of(like, everyone) if len(group.seeds) > 1 and amount_of(group, budget) > 0),
        key=lambda group: (amount_of(group, budget), group.label),
    )
    near = sorted(sizes, key=lambda group: abs(math.log(amount_of(group, budget) / amount)))
    if near and equal(amount_of(near[0], budget), amount):
        return ((near[0], 1.0),)
    below = [group for group in sizes if amount_of(group, budget) < amount]
    above = [group for group in sizes if amount_of(group, budget) > amount]
    if not below or not above:
        return ()
    low, high = below[-1], above[0]
    start, end = amount_of(low, budget), amount_of(high, budget)
    weight = math.log(amount / start) / math.log(end / start)
    return (low, 1 - weight), (high, weight)
