"""Comparison of our counts with the sizes printed in the papers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import get_args

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry
from resatlas.designs.counting import counts
from resatlas.designs.printed import Agreement, Printed, Quantity, printed_of

_COUNTED: tuple[Quantity, ...] = ("parameters", "multiply_adds")
"""Quantities with a verdict for every entry; depth and width have one only if they were printed."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Our count of one entry and one printed figure."""

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
        """Whether the verdict equals the recorded one."""
        return self.verdict == self.recorded


def verdicts(entry: Entry) -> Iterator[Verdict]:
    """The verdicts on all figures printed for an entry; counted quantities without a figure have one too."""

    @cache
    def plan(classes: int) -> Plan:
        return entry.plan(classes=classes)

    figures = printed_of(entry)
    for quantity in get_args(Quantity):
        of_quantity = [figure for figure in figures if figure.quantity == quantity]
        for figure in of_quantity:
            yield verdict_of(entry.name, plan(figure.classes), figure)
        if quantity in _COUNTED and not of_quantity:
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


def verdict_of(name: str, plan: Plan, figure: Printed) -> Verdict:
    """The verdict by the first rule of counting that gives the figure."""
    rules = counts(plan, figure)
    ours = next(rules)
    met = next((count for count in chain([ours], rules) if figure.means(count.number, count.rounding)), None)
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
