"""The sizes printed by the papers and their authors, with exact digits."""

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
"""Our rule gives the figure; only another rule gives it; no known rule gives it; no figure was printed."""

_UNITS: Mapping[str, int] = {"k": 10**3, "M": 10**6, "G": 10**9}
"""Factors; any other unit (layers, channels, …) is a plain number of things."""

FOREIGN = ("vgg-16", "vgg-19")
"""Networks of another paper, printed for comparison of multiply-adds; they are not built."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """One printed figure with its recorded verdict.

    `unit` can name a part in brackets: "k (one 56x56 block)", "channels (stage 1 inner)".
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
        """The part of the network that the figure is about; "" for the whole network."""
        return self.unit.partition(" (")[2].rstrip(")")

    def means(self, number: int, rounding: str = ROUND_HALF_UP) -> bool:
        """Whether the number, rounded to the printed digits, equals the printed figure."""
        scaled = Decimal(number) / _UNITS.get(self.unit.partition(" (")[0], 1)
        return scaled.quantize(Decimal(self.printed), rounding=rounding) == Decimal(self.printed)


@cache
def printed() -> tuple[Printed, ...]:
    """All known printed sizes."""
    text = files("resatlas.designs").joinpath("printed.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(decode(Printed, {**row, "classes": int(row["classes"])}, where="printed.csv") for row in rows)


def printed_of(entry: Entry) -> tuple[Printed, ...]:
    """The sizes printed for one network, under any of its names."""
    names = names_of(entry)
    return tuple(figure for figure in printed() if figure.name in names)
