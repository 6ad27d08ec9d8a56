"""A chart of the paths of a network by their length."""

from fractions import Fraction

from resatlas.arch.paths import PathLengths
from resatlas.comparing.words import presentable
from resatlas.page.chart import COLOURS, complete_chart
from resatlas.page.figure import Spec

_LEAST = 1e-4  # shares below it have no height in the chart


def path_chart(lengths: PathLengths, *, title: str) -> Spec:
    """The share of paths of each length; beside it that of their weights, where the two differ.

    A path takes the body or the shortcut of every unit.
    """
    series = {"paths": _shares(lengths.paths), "weighted": _shares(lengths.weights)}
    if series["paths"] == series["weighted"]:
        del series["weighted"]
    values = [
        {"series": name, "length": length, "share": share}
        for name, shares in series.items()
        for length, share in shares.items()
    ]
    means = {"paths": lengths.mean, "weighted": lengths.weighted_mean}
    how = "; ".join(
        ["convolutions and classifiers on a path", *(f"mean of {name}: {float(means[name]):.2f}" for name in series)]
    )
    colour = {"field": "series", "type": "nominal", "legend": None if len(series) == 1 else {"orient": "bottom"}}
    colour |= {"scale": {"domain": list(series), "range": list(COLOURS[: len(series)])}}
    marks = {"type": "line", "point": len(values) < 120, "strokeWidth": 2}
    chart = {
        "data": {"name": "values"},
        "mark": {**marks, "interpolate": "linear"},
        "encoding": {
            "x": {"field": "length", "type": "quantitative", "title": "length", "scale": {"zero": True}},
            "y": {"field": "share", "type": "quantitative", "title": "share of paths", "axis": {"format": ".0%"}},
            "color": colour,
            "tooltip": [
                {"field": "length", "title": "length"},
                {"field": "share", "title": "share", "format": ".3%"},
                {"field": "series", "title": "counted"},
            ],
        },
    }
    return complete_chart(chart, {"values": values}, title=presentable(title), how=how, height=140)


def _shares(counts: dict[int, int] | dict[int, Fraction]) -> dict[int, float]:
    """The share of each length; those that cannot be seen are left out."""
    whole = sum(counts.values(), Fraction(0))
    shares = {length: float(Fraction(count) / whole) for length, count in counts.items()}
    return {length: round(share, 6) for length, share in shares.items() if share >= _LEAST}
