"""The printed sizes and the published results of a network, as text and JSON values."""

from typing import Any

from resatlas.cli.display import fitted
from resatlas.designs.published import Published
from resatlas.designs.verdicts import Verdict
from resatlas.values.table import Table, words


def printed_line(verdict: Verdict) -> str:
    """One printed size, our count, and whether they agree."""
    return (
        f"printed {verdict.quantity.replace('_', '-')}: {verdict.printed}; ours {verdict.ours:,}: "
        f"{verdict.verdict} ({verdict.convention})  {verdict.source}"
    )


def backbone_table(figures: tuple[Published, ...]) -> str:
    """The figures published for detectors, localisers and segmenters on a network, one per line."""
    rows = tuple(
        (figure.name, figure.dataset, figure.metric, str(figure), figure.protocol, figure.source) for figure in figures
    )
    return fitted(
        Table(columns=words("on this network", "data set", "metric", "published %", "protocol", "source"), rows=rows)
    )


def published_data(figures: tuple[Published, ...]) -> list[dict[str, Any]]:
    """The published figures as JSON values."""
    return [
        {
            "name": figure.name,
            "dataset": figure.dataset,
            "metric": figure.metric,
            "value": float(figure.value),
            "spread": None if figure.spread is None else float(figure.spread),
            "protocol": figure.protocol,
            "source": figure.source,
        }
        for figure in figures
    ]
