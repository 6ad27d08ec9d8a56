"""What was printed and published of a network, as it stands beside it."""

from typing import Any

from resatlas.designs.published import Published
from resatlas.designs.verdicts import Verdict
from resatlas.values.table import Table, words
from resatlas.values.terminal import aligned


def printed_line(verdict: Verdict) -> str:
    """One printed size, our count, and whether they agree."""
    return (
        f"printed {verdict.quantity.replace('_', '-')}: {verdict.printed}; ours {verdict.ours:,}: "
        f"{verdict.verdict} ({verdict.convention})  {verdict.source}"
    )


def published_table(figures: tuple[Published, ...]) -> str:
    """The published figures, one a line."""
    rows = tuple((each.dataset, each.metric, str(each), each.protocol, each.source) for each in figures)
    return aligned(Table(columns=words("data set", "metric", "published %", "protocol", "source"), rows=rows))


def published_data(figures: tuple[Published, ...]) -> list[dict[str, Any]]:
    """The published figures as JSON values."""
    return [
        {
            "name": each.name,
            "dataset": each.dataset,
            "metric": each.metric,
            "value": float(each.value),
            "spread": None if each.spread is None else float(each.spread),
            "protocol": each.protocol,
            "source": each.source,
        }
        for each in figures
    ]
