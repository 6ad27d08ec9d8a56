"""Verdicts on a pair of designs, as values; the claim is that the first has the lower error.

supported: the first has the lower error at an equal budget, significantly over seeds and over seeds and test images;
contradicted: the second has it, in the same sense; depends on the budget: the first has it at one amount and the second
at another, both significantly; equivalent, or one of the two not inferior: their difference is within the margin that
the user set; undecided: the difference may be chance; not testable here: the runs cannot decide, for a reason that is
stated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from resatlas.comparing.differences import Difference
from resatlas.comparing.questions import Group
from resatlas.values.language import said

Verdict = Literal[
    "supported",
    "contradicted",
    "depends on the budget",
    "equivalent",
    "first not inferior",
    "second not inferior",
    "undecided",
    "not testable here",
]

Basis = Literal["multiply-adds", "parameters", "sizes"]
"""The budget at which two designs are compared; two sizes of one kind are compared regardless of their budgets."""


@dataclass(frozen=True, kw_only=True)
class RobustTest:
    """A test without the normal distribution: its p, None with too few networks; `least` is the smallest possible p."""

    name: Literal["rank sum", "bootstrap"]
    p: float | None
    least: float


@dataclass(frozen=True, kw_only=True)
class TestedDifference:
    """A difference at an amount of a budget; `side` is that of the first design, -1 for lower.

    `first` and `second` are the means, each from its smallest to its largest bound; `kinds` are the designs that
    represent their kind, whose error is bounded by its other sizes.
    """

    amount: float
    difference: Difference
    side: int
    first: tuple[float, float]
    second: tuple[float, float]
    kinds: tuple[Group, ...]

    @property
    def bounded(self) -> bool:
        """Whether an error at the amount is bounded by sizes on both sides of it, and not measured."""
        return self.first[0] < self.first[1] or self.second[0] < self.second[1]


@dataclass(frozen=True, kw_only=True)
class BudgetVerdict:
    """A verdict at an equal budget; `p` is adjusted by Holm over the pairs, the largest of its amounts.

    `remedy` is the command that finds a design for a direct comparison, if none was possible and the verdict is
    undecided.
    """

    basis: Basis
    verdict: Verdict
    p: float | None
    tested: tuple[TestedDifference, ...]
    reasons: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class ComparedPair:
    """A pair of groups with its differences, and its verdicts with their reasons.

    `trained` is the difference of the two whatever their budgets. `correlation` is that of the values over shared
    seeds. `survivors` is the pair without diverged runs, None if no run diverged.
    """

    first: Group
    second: Group
    trained: Difference | None
    correlation: float | None
    robust_tests: tuple[RobustTest, ...]
    verdicts: Mapping[Basis, BudgetVerdict]
    obstacles: tuple[str, ...]
    survivors: "ComparedPair | None" = None

    @property
    def leading(self) -> BudgetVerdict | None:
        """The verdict with the highest priority: at equal multiply-adds, or over two sizes of one kind."""
        return next(iter(self.verdicts.values()), None)

    @property
    def verdict(self) -> Verdict:
        """The verdict at equal multiply-adds, unless the one at equal parameters is the opposite."""
        verdicts = {by_budget.verdict for by_budget in self.verdicts.values()}
        if {"supported", "contradicted"} <= verdicts:
            return "depends on the budget"
        return self.leading.verdict if self.leading else "not testable here"

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the verdict."""
        if not self.verdicts:
            return self.obstacles
        return tuple(dict.fromkeys(reason for verdict in self.verdicts.values() for reason in verdict.reasons))

    @property
    def p(self) -> float | None:
        """The p of the leading verdict."""
        return self.leading.p if self.leading else None

    @property
    def claim(self) -> str:
        """The claim that the verdict is about."""
        return " has a lower error than ".join(self.sides)

    @property
    def sides(self) -> tuple[str, str]:
        """The two sides by name: designs, or their kinds where other sizes bound the error."""
        kinds = {group for tested in self.tested for group in tested.kinds}
        first, second = (
            said("{design}'s kind", design=group.label) if group in kinds else group.label
            for group in (self.first, self.second)
        )
        return first, second

    @property
    def equal(self) -> Mapping[Basis, tuple[TestedDifference, ...] | str]:
        """The differences at each equal budget, or the reasons why there are none."""
        return {basis: verdict.tested or "; ".join(verdict.reasons) for basis, verdict in self.verdicts.items()}

    @property
    def tested(self) -> tuple[TestedDifference, ...]:
        """All differences at equal budgets."""
        return tuple(chain.from_iterable(verdict.tested for verdict in self.verdicts.values()))


def single_nets(pair: ComparedPair) -> tuple[Group, ...]:
    """The groups of a pair that have a single network and so no spread."""
    return tuple(group for group in (pair.first, pair.second) if len(group.values) == 1)
