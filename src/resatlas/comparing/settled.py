"""Verdicts on a pair of designs, as values; the claim is that the first has the lower error.

supported: so at an equal budget, beyond chance over seeds and over seeds and test images; contradicted: the second has
it; depends on the budget: the first at one amount and the second at another, both beyond chance; equivalent, or one of
the two not inferior: their difference is within a margin that was asked for; undecided: what is seen may be chance; not
testable here: no run could tell, for a reason that is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from resatlas.comparing.differences import Difference
from resatlas.comparing.questions import Group

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
"""At equal what two designs are compared; two sizes of one kind as they are."""


@dataclass(frozen=True, kw_only=True)
class SecondOpinion:
    """A test without the normal distribution: its p, or, of too few networks, the least p that they could ever give."""

    name: Literal["rank sum", "bootstrap"]
    chance: float | None
    least: float


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A difference at an amount of a budget; `side` is that of the first design, -1 for lower.

    `first` and `second` are the means, each from the least to the greatest bound on it; `kinds` are the designs that
    stand for their kind, other sizes of which bound it.
    """

    amount: float
    difference: Difference
    side: int
    first: tuple[float, float]
    second: tuple[float, float]
    kinds: tuple[Group, ...]

    @property
    def bounded(self) -> bool:
        """Whether sizes on both sides of the amount bound an error, in place of one at it."""
        return self.first[0] < self.first[1] or self.second[0] < self.second[1]


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A verdict at an equal budget; `chance` is p by Holm over the pairs, the largest of its amounts.

    `remedy` is the command that finds a design for a direct comparison, where there is none and the verdict is open.
    """

    basis: Basis
    verdict: Verdict
    chance: float | None
    tested: tuple[Tested, ...]
    reasons: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A pair: as trained, at each equal budget, and the verdicts with their reasons.

    `correlation` is that of the values over shared seeds. `survivors` is the pair without the runs that diverged, where
    some did.
    """

    first: Group
    second: Group
    trained: Difference | None
    correlation: float | None
    opinions: tuple[SecondOpinion, ...]
    verdicts: Mapping[Basis, Settled]
    obstacles: tuple[str, ...]
    survivors: "Judged | None" = None

    @property
    def leading(self) -> Settled | None:
        """The verdict that counts first: at equal multiply-adds, or across two sizes of one kind."""
        return next(iter(self.verdicts.values()), None)

    @property
    def verdict(self) -> Verdict:
        """The verdict at equal multiply-adds, unless the one at equal parameters is the opposite."""
        found = {each.verdict for each in self.verdicts.values()}
        if {"supported", "contradicted"} <= found:
            return "depends on the budget"
        return self.leading.verdict if self.leading else "not testable here"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is so."""
        if not self.verdicts:
            return self.obstacles
        return tuple(dict.fromkeys(reason for each in self.verdicts.values() for reason in each.reasons))

    @property
    def chance(self) -> float | None:
        """The p of the leading verdict."""
        return self.leading.chance if self.leading else None

    @property
    def claim(self) -> str:
        """What the verdict is about."""
        return " has a lower error than ".join(self.sides)

    @property
    def sides(self) -> tuple[str, str]:
        """The two by name: designs, or, where other sizes bound them, their kinds."""
        kinds = {group for each in self.tested for group in each.kinds}
        first, second = (
            f"{group.label}'s kind" if group in kinds else group.label for group in (self.first, self.second)
        )
        return first, second

    @property
    def equal(self) -> Mapping[Basis, tuple[Tested, ...] | str]:
        """The differences at each equal budget, or why there are none."""
        return {basis: each.tested or "; ".join(each.reasons) for basis, each in self.verdicts.items()}

    @property
    def tested(self) -> tuple[Tested, ...]:
        """All differences at equal budgets."""
        return tuple(chain.from_iterable(each.tested for each in self.verdicts.values()))


def single_nets(pair: Judged) -> tuple[Group, ...]:
    """Those of a pair that have a single network, and so no spread."""
    return tuple(group for group in (pair.first, pair.second) if len(group.values) == 1)
