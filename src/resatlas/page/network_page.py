"""A page about networks: each with its drawing and what is known about it, without a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.arch.plan import Plan
from resatlas.comparing.words import presentable
from resatlas.designs.citations import bibtex
from resatlas.designs.family import Paper
from resatlas.page.contents import ChartNames
from resatlas.page.drawing import drawing
from resatlas.page.figure import Figure
from resatlas.page.page import rendered, write_text_page
from resatlas.values.blocks import Block
from resatlas.values.table import Column, Table, numbers, words

_COLUMNS = (
    *words("network", "design", "data"),
    *numbers("classes", "parameters", "multiply-adds"),
    Column("mean path length", "1", ".2f"),
    Column("error", "%", ".2f"),
)

_LONGEST = 200  # letters of a name


def mark(name: str) -> str:
    """A name from a user's file on one line of bounded length, printable and without folders; HTML is escaped later."""
    line = presentable(" ".join(name.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


@dataclass(frozen=True, kw_only=True)
class DescribedNetwork:
    """A network and what is known about it.

    name: what named it. error_percent: of its test, or as its source publishes it; None if unknown. blocks: all else,
    in the order of the page. papers: those whose parts it has.
    """

    name: str
    design: str
    plan: Plan
    data: str
    error_percent: float | None
    blocks: tuple[Block, ...]
    papers: tuple[Paper, ...]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A network on the page."""

    title: str
    figure: Figure
    blocks: tuple[Block, ...]


def write_network_page(out: Path, *, title: str, networks: Sequence[DescribedNetwork]) -> tuple[Figure, ...]:
    """Write the page in one atomic step; returns its drawings.

    Raises: FolderError if the page cannot be written.
    """
    names = ChartNames()
    parts = tuple(_part(network, names) for network in networks)
    papers = {paper.key: bibtex(paper) for network in networks for paper in network.papers}
    text = rendered(
        "network.html.jinja", title=title, overview=_overview(networks), parts=parts, citations=tuple(papers.values())
    )
    write_text_page(out, text)
    return tuple(part.figure for part in parts)


def _part(network: DescribedNetwork, names: ChartNames) -> _Part:
    title = mark(network.name)
    figure = Figure(names.new("network", title), title, drawing(network.plan, title=mark(network.design) or title))
    return _Part(title=title, figure=figure, blocks=network.blocks)


def _overview(networks: Sequence[DescribedNetwork]) -> Table:
    return Table(columns=_COLUMNS, rows=tuple(tuple(_row(network)) for network in networks), title="The networks")


def _row(network: DescribedNetwork) -> Iterator[str | int | float | None]:
    total = cost(network.plan)
    yield from (mark(network.name), mark(network.design) or "unknown", mark(network.data) or "unknown")
    yield from (network.plan.classes, total.parameters, total.multiply_adds)
    yield from (float(mean_lengths(network.plan).mean), network.error_percent)
