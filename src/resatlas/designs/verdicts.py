"""Whether our counts give the sizes that the papers printed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import get_args

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry
from resatlas.designs.counting import counts
from resatlas.designs.printed import Agreement, Printed, Quantity, printed_of

COUNTED: tuple[Quantity, ...] = ("parameters", "multiply_adds")
"""Told of every entry; a depth or a width only where one was printed."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Our count of one entry beside one printed figure."""

    name: str
    quantity: Quantity
    ours: int
    printed: str
    convention: str
    verdict: Agreement
    recorded: Agreement
    source: str

    @property
    def stands(self) -> bool:
        """Whether today's verdict is the recorded one."""
        return self.verdict == self.recorded


def verdicts(entry: Entry) -> Iterator[Verdict]:
    """One entry against every figure printed for it; of the counted quantities also where none was."""

    @cache
    def plan(classes: int) -> Plan:
        return entry.plan(classes=classes)

    figures = printed_of(entry)
    for quantity in get_args(Quantity):
        of_quantity = [figure for figure in figures if figure.quantity == quantity]
        for figure in of_quantity:
            yield judged(entry.name, plan(figure.classes), figure)
        if quantity in COUNTED and not of_quantity:
            yield Verdict(
                name=entry.name,
                quantity=quantity,
                ours=getattr(cost(plan(entry.classes)), quantity),
                printed="",
                convention="",
                verdict="none",
                recorded="none",
                source="",
            )


def judged(name: str, plan: Plan, figure: Printed) -> Verdict:
    """The first rule of counting that gives the figure from the plan, or that none does."""
    ours, *others = counts(plan, figure)
    met = next((count for count in (ours, *others) if figure.means(count.number, count.rounding)), None)
    return Verdict(
        name=name,
        quantity=figure.quantity,
        ours=ours.number,
        printed=f"{figure.printed} {figure.unit}".strip(),
        convention=met.convention if met else "none found",
        verdict="no" if met is None else "yes" if met is ours else "partly",
        recorded=figure.agrees,
        source=figure.source,
    )
