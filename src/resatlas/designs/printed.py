"""The sizes that the papers and their authors printed, to the digit."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Literal

from resatlas.designs.catalog import Entry, names_of
from resatlas.values.codec import decode

Quantity = Literal["parameters", "multiply_adds", "depth", "width"]

Agreement = Literal["yes", "partly", "no", "none"]
"""Our rule gives the figure; only another rule does; none that we know does; no figure was printed."""

UNITS: Mapping[str, int] = {"k": 10**3, "M": 10**6, "G": 10**9}
"""Factors; any other unit (layers, channels, …) is a plain number of things."""

FOREIGN = ("vgg-16", "vgg-19")
"""Printed beside the papers' networks for their multiply-adds; networks of another paper, not built."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """One figure as it was printed, with the verdict recorded for it.

    `unit` may name a part in brackets: "k (one 56x56 block)", "channels (stage 1 inner)".
    """

    name: str
    classes: int
    quantity: Quantity
    printed: str
    unit: str
    convention: str
    agrees: Agreement
    source: str

    @property
    def part(self) -> str:
        """The part of the network that the figure speaks of, or nothing for the whole."""
        return self.unit.partition(" (")[2].rstrip(")")

    def means(self, number: int, rounding: str = ROUND_HALF_UP) -> bool:
        """Whether the number, rounded to the printed digits, is the printed figure."""
        scaled = Decimal(number) / UNITS.get(self.unit.partition(" (")[0], 1)
        return scaled.quantize(Decimal(self.printed), rounding=rounding) == Decimal(self.printed)


@cache
def printed() -> tuple[Printed, ...]:
    """Every printed size that we know of."""
    text = files("resatlas.designs").joinpath("printed.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(decode(Printed, {**row, "classes": int(row["classes"])}, where="printed.csv") for row in rows)


def printed_of(entry: Entry) -> tuple[Printed, ...]:
    """The sizes printed for one network, under any of its names."""
    names = names_of(entry)
    return tuple(figure for figure in printed() if figure.name in names)
