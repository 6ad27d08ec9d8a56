"""The operations of a network under every counting rule, beside its twin with the stride on another convolution."""

from dataclasses import dataclass, replace
from typing import Any

from resatlas.arch.conventions import CONVENTIONS
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.arch.stride import StridePlace, stride_place, twin
from resatlas.cli.figures import printed_line
from resatlas.designs.catalog import Entry, names_of
from resatlas.designs.verdicts import verdicts
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned


@dataclass(frozen=True, kw_only=True)
class CountedNetwork:
    """A network whose operations are counted, and the place of the stride in its bottlenecks, if it has any."""

    entry: Entry
    stride: StridePlace | None
    plan: Plan


def with_twin(entry: Entry, *, image: Shape | None, classes: int | None) -> list[CountedNetwork]:
    """The network, and its twin if it has one."""
    entries = [entry]
    other = twin(entry.blueprint)
    if other:
        unnamed = replace(entry, blueprint=other, name=f"{entry.name} with the stride on the {stride_place(other)}")
        entries.append(replace(unnamed, name=next(iter(names_of(unnamed)), unnamed.name)))
    return [
        CountedNetwork(
            entry=network, stride=stride_place(network.blueprint), plan=network.plan(image=image, classes=classes)
        )
        for network in entries
    ]


def conventions_data(networks: list[CountedNetwork]) -> list[dict[str, Any]]:
    """Every count as JSON values."""
    return [
        {
            "name": network.entry.name,
            "stride": network.stride,
            "convention": convention.name,
            "rule": convention.rule,
            "count": convention.count(network.plan),
        }
        for network in networks
        for convention in CONVENTIONS
    ]


def conventions_text(networks: list[CountedNetwork]) -> str:
    """A table of the counts, the rule of each convention, and the printed counts."""
    columns = (*words("counted by"), *numbers(*(network.entry.name for network in networks)))
    strides = ("stride on the", *(network.stride or "" for network in networks))
    rows = [
        (convention.name, *(_scaled(convention.count(network.plan)) for network in networks))
        for convention in CONVENTIONS
    ]
    figures = [
        f"{network.entry.name}: {printed_line(verdict)}"
        for network in networks
        for verdict in verdicts(network.entry)
        if verdict.quantity == "multiply_adds" and verdict.printed
    ]
    return "\n".join(
        [
            aligned(Table(columns=columns, rows=(strides, *rows) if networks[0].stride else tuple(rows))),
            "",
            *(f"{convention.name}: {convention.rule}" for convention in CONVENTIONS),
            "",
            *(figures or ["no printed multiply-adds are known for this network"]),
        ]
    )


def _scaled(count: int) -> str:
    """3,857,973,248 = 3.86 G."""
    factor, letter = (10**9, "G") if count >= 10**9 else (10**6, "M")
    return f"{count:,} = {count / factor:.2f} {letter}"
