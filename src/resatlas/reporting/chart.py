"""The charts of a question, as Vega-Lite specifications that hold their data."""

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any, Literal, assert_never

from resatlas.reporting.comparison import Row, Sample, compare, groups, labels, rows
from resatlas.reporting.comparison import row as row_of
from resatlas.runs.collection import View
from resatlas.runs.store import Run

LOOKS = {
    "resnet": ("#0072b2", "circle"),
    "plain": ("#d55e00", "square"),
    "preact-resnet": ("#56b4e9", "cross"),
    "wide-resnet": ("#009e73", "diamond"),
    "resnext": ("#e69f00", "triangle-up"),
    "pyramidnet": ("#cc79a7", "triangle-down"),
    "dmrnet": ("#222222", "triangle-right"),
    "dilnet": ("#8a8a8a", "triangle-left"),
}
"""A colour and a shape a family, the same in all charts; colours by Okabe and Ito, with grey for their yellow."""

OTHER = ("#7f4f24", "stroke")
"""The look of any further family."""

FIGURE = {"field": "value", "type": "quantitative", "format": ".4g"}
MEAN_FIGURE = {"field": "value", "type": "quantitative", "aggregate": "mean", "format": ".4g"}

Spec = dict[str, Any]

THEME: Spec = {
    "font": "Helvetica, Arial, Liberation Sans, sans-serif",
    "background": "transparent",
    "padding": {"left": 2, "right": 8, "top": 4, "bottom": 4},
    "title": {"anchor": "start", "fontSize": 13, "color": "#222222", "subtitleColor": "#5a5a5a", "offset": 10},
    "view": {"stroke": None},
    "axis": {"gridColor": "#e6e6e6", "domainColor": "#999999", "tickColor": "#999999", "labelColor": "#444444"},
    "legend": {"orient": "bottom", "title": None, "columns": 3, "symbolOpacity": 1, "labelColor": "#222222"},
}

Kind = Literal["linear", "log"]
"""Of a scale."""


def charts(view: View, runs: Sequence[Run]) -> tuple[Spec, ...]:
    """The charts that answer a view's question, then the curves of its runs; none without runs.

    Raises: FolderError if results or predictions are missing.
    """
    if not runs:
        return ()
    match view:
        case "depth":
            return (*_over_depth(rows(runs)), *_curves(runs))
        case "budget":
            return (_at_a_budget(runs), *_curves(runs))
        case "runs":
            return _curves(runs)
        case _:
            assert_never(view)


def _over_depth(shown: Sequence[Row]) -> tuple[Spec, ...]:
    """Training loss and test error over depth: a point a seed, a line through the means of each family."""
    named = list(zip(shown, labels(shown), strict=True))
    losses = [point for row, name in named for point in _points(row, name, row.train_loss)]
    errors = [point for row, name in named for point in _points(row, name, row.test_error_percent)]
    how = "point: seed, line: mean"
    panels = (
        (losses, "Training loss over depth", f"cross-entropy, log scale; {how}", "log"),
        (errors, "Test error over depth", f"% of the test images; {how}", "linear"),
    )
    return tuple(_depth_panel(*panel) for panel in panels)


def _depth_panel(points: list[Spec], title: str, how: str, scale: Kind) -> Spec:
    import altair as alt

    values = [point for point in points if _drawable(point["value"], scale)]
    colours, shapes = _scales(points)
    across = alt.X("depth:Q", title="depth", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickMinStep=1))
    upward = alt.Y("value:Q", title=None, scale=alt.Scale(type=scale))
    colour = alt.Color("family:N", scale=colours)
    chart = alt.Chart(alt.NamedData(name="values")).encode(x=across, color=colour)
    lines = chart.mark_line(strokeWidth=2).encode(y=upward.aggregate("mean"))
    dots = chart.mark_point(size=55, filled=True, opacity=0.75).encode(
        y=upward,
        shape=alt.Shape("family:N", scale=shapes),
        tooltip=["design:N", "depth:Q", "seed:Q", FIGURE],
    )
    return _finished(lines + dots, {"values": values}, title, how, height=300)


def _at_a_budget(runs: Sequence[Run]) -> Spec:
    """Test errors as dots, designs in the table's order, the smallest difference as a bar from the lowest mean."""
    import altair as alt

    comparison = compare(runs)
    named = list(zip(comparison.rows, labels(comparison.rows), strict=True))
    values = [point for row, name in named for point in _points(row, name, row.test_error_percent)]
    order = [name for _, name in named]
    how = "point: seed, tick: mean"
    bars = []
    if comparison.smallest_points is not None:
        low = min(each.test_error_percent.mean for each in comparison.compared)
        high = low + comparison.smallest_points
        length = f"{comparison.smallest_points:.2f} points"
        how += f"; grey: the smallest difference that could have shown, {length}"
        order.append("smallest difference")
        bars.append({"group": "smallest difference", "from": low, "to": high, "length": length})
    down = alt.Y("group:N", sort=order, title=None, axis=alt.Axis(labelLimit=170))
    across = alt.X("value:Q", title="test error, %", scale=alt.Scale(zero=False))
    chart = alt.Chart(alt.NamedData(name="values")).encode(
        y=down, color=alt.Color("family:N", scale=_scales(values)[0], legend=None)
    )
    layers = (
        alt.Chart(alt.NamedData(name="bars"))
        .mark_bar(height=8, color="#cccccc")
        .encode(x="from:Q", x2="to:Q", y=down, tooltip=["length:N"]),
        chart.mark_tick(thickness=3, size=22).encode(x=across.aggregate("mean")),
        chart.mark_point(size=55, filled=True, opacity=0.75).encode(x=across, tooltip=["design:N", "seed:Q", FIGURE]),
    )
    return _finished(
        alt.layer(*layers),
        {"values": values, "bars": bars},
        "Test error in the last epoch",
        how,
        height=34 * len(order),
    )


def _curves(runs: Sequence[Run]) -> tuple[Spec, ...]:
    """Training loss and validation error, epoch by epoch; no chart of what was not measured."""
    parted = groups(runs)
    shown = tuple(map(row_of, parted))
    named = list(zip(parted, shown, labels(shown), strict=True))
    deepest = {row.family: row.depth for row in sorted(shown, key=lambda row: row.depth)}

    def values(key: str, scale: Kind) -> list[Spec]:
        return [
            {**_about(row, name), "stroke": stroke, "run": run.name, "epoch": epoch["epoch"], "value": epoch[key]}
            for group, row, name in named
            for stroke in ["greatest depth" if row.depth == deepest[row.family] else f"depth {row.depth}"]
            for run in group
            for epoch in run.metrics
            if _drawable(epoch.get(key), scale)
        ]

    how = "bold: mean, thin: seeds"
    panels = (
        ("train_loss", "Training loss, epoch by epoch", f"cross-entropy, log scale; {how}", "log"),
        ("validation_error_percent", "Validation error, epoch by epoch", f"% of the images held back; {how}", "linear"),
    )
    return tuple(
        _curve_panel(found, title, unit, scale) for key, title, unit, scale in panels if (found := values(key, scale))
    )


def _curve_panel(values: list[Spec], title: str, how: str, scale: Kind) -> Spec:
    import altair as alt

    colour = alt.Color("family:N", scale=_scales(values)[0], legend=alt.Legend(symbolType="stroke"))
    upward = alt.Y("value:Q", title=None, scale=alt.Scale(type=scale))
    chart = alt.Chart(alt.NamedData(name="values")).encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)), color=colour
    )
    means = chart.encode(y=upward.aggregate("mean"), detail="group:N", tooltip=["design:N", "epoch:Q", MEAN_FIGURE])
    lines = means.mark_line(strokeWidth=2.5)
    strokes = sorted({value["stroke"] for value in values}, key=lambda stroke: (len(stroke), stroke))
    if len(strokes) > 1:  # from dotted to solid, a family's deepest network solid
        dashes = [*([2 + 3 * place, 3] for place in range(len(strokes) - 1)), [1, 0]]
        scale_of = alt.Scale(domain=strokes, range=dashes)
        lines = lines.encode(strokeDash=alt.StrokeDash("stroke:N", scale=scale_of, legend=alt.Legend(orient="top")))
    seeds = chart.mark_line(strokeWidth=1, opacity=0.25).encode(y=upward, detail="run:N")
    whole = seeds + lines + means.mark_point(size=40, opacity=0)
    return _finished(whole, {"values": values}, title, how, height=300)


def _points(row: Row, name: str, sample: Sample) -> list[Spec]:
    return [
        {**_about(row, name), "seed": seed, "value": value}
        for seed, value in zip(row.seeds, sample.values, strict=True)
    ]


def _about(row: Row, name: str) -> Spec:
    return {"family": row.family, "group": name, "design": row.design, "depth": row.depth}


def _drawable(value: object, scale: Kind) -> bool:
    """Whether a scale has a place for the value: a finite number, above 0 on a log scale."""
    return isinstance(value, int | float) and math.isfinite(value) and (value > 0 or scale == "linear")


def _scales(values: Iterable[Spec]) -> tuple[Any, Any]:
    """Colour and shape of the families that occur: known ones first, in the order of their looks."""
    import altair as alt

    present = dict.fromkeys(value["family"] for value in values)
    names = [*(name for name in LOOKS if name in present), *(name for name in present if name not in LOOKS)]
    colours, shapes = zip(*(LOOKS.get(name, OTHER) for name in names), strict=True)
    return alt.Scale(domain=names, range=colours), alt.Scale(domain=names, range=shapes)


def _finished(chart: Any, data: Mapping[str, list[Spec]], title: str, how: str, *, height: int) -> Spec:  # noqa: ANN401
    """The chart with its data, its title and the theme, as wide as its place on the page.

    The data go in last: altair copies and checks everything that it holds, over and over.
    """
    head = {"text": title, "subtitle": wrap(how, 54)}
    bare = chart.properties(width="container", height=height, title=head, description=f"{title}: {how}")
    return {**bare.to_dict(), "config": THEME, "datasets": data}
