"""The sizes that the papers and their authors printed, and whether ours agree with them."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Literal

from resatlas.arch.codec import decode
from resatlas.arch.cost import Cost, layer_cost
from resatlas.arch.ops import Convolution, Linear
from resatlas.arch.plan import Layer, Plan, layers, unit_layers
from resatlas.designs.catalog import Entry, known_as
from resatlas.designs.pyramidnet import PyramidNet

Quantity = Literal["parameters", "multiply_adds"]
QUANTITIES: tuple[Quantity, ...] = ("parameters", "multiply_adds")

Agreement = Literal["yes", "partly", "no", "none"]
"""Our rule gives the figure; only another rule does; none that we know does; no figure was printed."""

UNITS: Mapping[str, int] = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True, kw_only=True)
class Printed:
    """One figure as it was printed, with the verdict recorded for it.

    `unit` may name a part in brackets: "k (one 56x56 block)".
    """

    name: str
    classes: int
    quantity: str
    printed: str
    unit: str
    convention: str
    agrees: Agreement
    source: str

    @property
    def part(self) -> str:
        """The part of the network that the figure speaks of, or nothing for the whole."""
        return self.unit.partition(" (")[2].rstrip(")")

    def as_printed(self, number: int, rounding: str = ROUND_HALF_UP) -> Decimal:
        """The number with the digits and the unit of the printed figure."""
        scaled = Decimal(number) / UNITS[self.unit.partition(" (")[0]]
        return scaled.quantize(Decimal(self.printed), rounding=rounding)

    def means(self, number: int, rounding: str = ROUND_HALF_UP) -> bool:
        """Whether the number, rounded to the printed digits, is the printed figure."""
        return self.as_printed(number, rounding) == Decimal(self.printed)


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


@cache
def printed() -> tuple[Printed, ...]:
    """Every printed figure that we know of."""
    text = files("resatlas.designs").joinpath("printed.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(decode(Printed, {**row, "classes": int(row["classes"])}, where="printed.csv") for row in rows)


def printed_of(name: str) -> tuple[Printed, ...]:
    """The printed figures of one network."""
    return tuple(figure for figure in printed() if figure.name == name)


def verdicts(entry: Entry) -> Iterator[Verdict]:
    """Parameters and multiply-adds of one entry against every figure printed for it."""
    plan = entry.plan()
    figures = printed_of(known_as(entry))
    for quantity in QUANTITIES:
        of_quantity = [figure for figure in figures if figure.quantity == quantity]
        if not of_quantity:
            ours = getattr(_count(layers(plan)), quantity)
            yield Verdict(
                name=entry.name,
                quantity=quantity,
                ours=ours,
                printed="",
                convention="",
                verdict="none",
                recorded="none",
                source="",
            )
        for figure in of_quantity:
            yield _judge(entry, figure, quantity)


def _judge(entry: Entry, figure: Printed, quantity: Quantity) -> Verdict:
    plan = entry.plan(classes=figure.classes)
    rules = list(_rules(entry, plan, figure, quantity))
    convention, verdict = "none found", "no"
    for index, (name, number, rounding) in enumerate(rules):
        if figure.means(number, rounding):
            convention, verdict = name, "partly" if index else "yes"
            break
    return Verdict(
        name=entry.name,
        quantity=quantity,
        ours=rules[0][1],
        printed=f"{figure.printed} {figure.unit}".strip(),
        convention=convention,
        verdict=verdict,
        recorded=figure.agrees,
        source=figure.source,
    )


def _rules(entry: Entry, plan: Plan, figure: Printed, quantity: Quantity) -> Iterator[tuple[str, int, str]]:
    """The rules of counting that may give a printed figure, ours first."""
    if figure.part:
        block = list(unit_layers(plan.stages[0][1]))
        yield f"conv only; {figure.part}", getattr(_count(block, Convolution), quantity), ROUND_HALF_UP
        return
    every = list(layers(plan))
    ours = getattr(_count(every), quantity)
    weights = getattr(_count(every, Convolution, Linear), quantity)
    convs = getattr(_count(every, Convolution), quantity)
    if quantity == "multiply_adds":
        yield "conv+fc", ours, ROUND_HALF_UP
        yield "conv+fc; cut off", ours, ROUND_DOWN
        yield "conv only", convs, ROUND_HALF_UP
        return
    yield "all weights", ours, ROUND_HALF_UP
    yield "conv+fc without BN", weights, ROUND_HALF_UP
    yield "conv only", convs, ROUND_HALF_UP
    if isinstance(entry.design, PyramidNet):
        floored = replace(entry.design, rounding="floor")
        lower = list(layers(replace(entry, blueprint=floored.blueprint()).plan(classes=figure.classes)))
        yield "all weights; widths floored", _count(lower).parameters, ROUND_HALF_UP
        yield "conv+fc without BN; widths floored", _count(lower, Convolution, Linear).parameters, ROUND_HALF_UP


def _count(some: Iterator[tuple[str, Layer]] | list[tuple[str, Layer]], *kinds: type) -> Cost:
    return sum((layer_cost(layer) for _, layer in some if not kinds or isinstance(layer.op, kinds)), Cost())
