"""The hypotheses of a study as JSON values, and as the rows of a CSV."""

from collections.abc import Sequence
from typing import Any

from resatlas.comparing.hypotheses import Judged
from resatlas.runs.files import csv_text
from resatlas.values.codec import encode


def as_json(one: Judged) -> dict[str, Any]:
    """One hypothesis with its answer as JSON values."""
    low, high = one.interval or (None, None)
    return {
        "name": one.name,
        "title": one.title,
        **encode(one.hypothesis),
        "answer": one.answer,
        "values": {"first": _values(one, "first"), "second": _values(one, "second")},
        "difference": one.points,
        "low": low,
        "high": high,
        "p": one.p,
        "p_holm": one.p_holm,
        "unfinished": list(one.unfinished),
    }


def _values(one: Judged, side: str) -> dict[str, float]:
    """The values of a side by seed."""
    group = one.first if side == "first" else one.second
    return {str(seed): value for seed, value in zip(group.value_seeds, group.values, strict=True)}


def as_csv(judged: Sequence[Judged]) -> str:
    """One row per hypothesis."""
    rows = [
        (
            one.name,
            one.title,
            one.hypothesis.first,
            one.hypothesis.second,
            one.hypothesis.metric,
            one.hypothesis.expected,
            one.hypothesis.margin,
            one.points,
            *(one.interval or (None, None)),
            one.p_holm,
            one.answer,
        )
        for one in judged
    ]
    return csv_text(_HEAD, rows).rstrip("\n")


_HEAD = (
    *("name", "title", "first", "second", "metric", "expected", "margin"),
    *("difference", "low", "high", "p_holm", "answer"),
)
