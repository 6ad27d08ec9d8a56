"""The charts of a comparison: over depth, per design, over each budget, and training curves."""

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from resatlas.comparing.budgets import BUDGETS, amount_of
from resatlas.comparing.comparison import Comparison
from resatlas.comparing.questions import Group
from resatlas.comparing.rows import Sample
from resatlas.comparing.statistics import mean_interval
from resatlas.designs.catalog import FAMILIES
from resatlas.page.chart import complete_chart, drawable, legend_filter, log_scale, look_of, titled
from resatlas.page.curves import curves, error_words, loss_words
from resatlas.page.figure import Figure, Spec
from resatlas.runs.collection import View
from resatlas.values.language import known, said


def charts(view: View, comparison: Comparison) -> tuple[Figure, ...]:
    """The charts of a view, then test errors per design and over budgets, then training curves."""
    groups = comparison.question.groups
    match view:
        case "depth":
            view_charts = tuple(_over_depth(groups))
        case "budget" | "runs":
            view_charts = ()
        case _:
            assert_never(view)
    several = (_per_design(comparison), *_over_budgets(groups)) if len(groups) > 1 else ()
    return (*view_charts, *several, *curves(groups))


def _over_depth(groups: Sequence[Group]) -> Iterator[Figure]:
    """Training loss and test error over depth: a point per seed, and a line through the means of each family."""
    how = said("point: seed, line: mean")
    losses = [point for group in groups for point in _points(group, group.row.train_loss)]
    errors = [point for group in groups for point in _points(group, group.row.test_error_percent)]
    title, words = said("Test error over depth"), said("; ").join([error_words(groups, "test"), how])
    yield _depth_panel("error-over-depth", errors, title, words, {"type": "linear"})
    title, words = said("Training loss over depth"), said("; ").join([log_scale(loss_words(groups)), how])
    yield _depth_panel("loss-over-depth", losses, title, words, {"type": "log", "nice": False, "padding": 8})


def _depth_panel(name: str, points: Sequence[Spec], title: str, how: str, scale: Spec) -> Figure:
    values = [point for point in points if drawable(point["value"], scale["type"])]
    families = _families(points)
    upward = {"field": "value", "type": "quantitative", "title": None, "scale": scale}
    filtered = legend_filter("family")
    chart = {
        "encoding": {
            "x": {
                "field": "depth",
                "type": "quantitative",
                "title": said("depth"),
                "scale": {"zero": False, "padding": 12},
                "axis": {"tickMinStep": 1},
            },
            "color": {"field": "family", "type": "nominal", "scale": _colours(families)},
            "opacity": filtered["opacity"],
        },
        "layer": [
            {
                **filtered["params"],
                "data": {"name": "values"},
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {"y": {**upward, "aggregate": "mean"}},
            },
            {
                "data": {"name": "values"},
                "mark": {"type": "point", "size": 55, "filled": True},
                "encoding": {
                    "y": upward,
                    "shape": {"field": "family", "type": "nominal", "scale": _shapes(families)},
                    "tooltip": _tooltip("design", "depth", "seed", value=title),
                },
            },
        ],
    }
    return Figure(name, title, complete_chart(chart, {"values": values}, title=title, how=how, height=250))


def _per_design(comparison: Comparison) -> Figure:
    """Test errors per design, sorted by their mean, with the 95 % interval of each mean."""
    groups = sorted(comparison.question.groups, key=_mean)
    order = [group.label for group in groups]
    values = [point for group in groups for point in _points(group, group.row.test_error_percent)]
    across = {"field": "value", "type": "quantitative", "title": said("test error, %"), "scale": {"zero": False}}
    down = {
        "field": "group",
        "type": "nominal",
        "sort": order,
        "title": None,
        "axis": {"labelLimit": 170},
    }
    colour = {"field": "family", "type": "nominal", "scale": _colours(_families(values)), "legend": None}
    tooltip = [
        titled("design"),
        {"field": "mean", "title": said("mean, %"), "format": ".2f"},
        {**titled("from"), "format": ".2f"},
        {**titled("to"), "format": ".2f"},
    ]
    chart = {
        "encoding": {"y": down, "color": colour},
        "layer": [
            {
                "data": {"name": "intervals"},
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55},
                "encoding": {"x": {**across, "field": "from"}, "x2": {"field": "to"}, "tooltip": tooltip},
            },
            {
                "data": {"name": "intervals"},
                "mark": {"type": "tick", "thickness": 3, "size": 20},
                "encoding": {"x": {**across, "field": "mean"}, "tooltip": tooltip},
            },
            {
                "data": {"name": "values"},
                "mark": {"type": "point", "size": 55, "filled": True, "opacity": 0.75},
                "encoding": {"x": across, "tooltip": _tooltip("design", "seed", value=said("test error, %"))},
            },
        ],
    }
    title = said("Test error after the last epoch")
    data = {"values": values, "intervals": [_interval(group) for group in groups]}
    how = said("point: seed, tick: mean, line: 95 % interval of the mean over seeds")
    return Figure(
        "test-error", title, complete_chart(chart, data, title=title, how=how, height=max(100, 30 * len(order)))
    )


def _over_budgets(groups: Sequence[Group]) -> Iterator[Figure]:
    """Test error over each budget: the mean of each design and its interval."""
    families = _families(_about(group) for group in groups)
    filtered = legend_filter("family")
    for budget in BUDGETS:
        values = [
            {**_interval(group), "amount": amount_of(group, budget)}
            for group in groups
            if drawable(amount_of(group, budget), "log")
        ]
        unit = said("seconds per training") if budget == "seconds" else known(budget)
        number_format = ",.1f" if budget == "seconds" else ",.0f"
        upward = {"field": "mean", "type": "quantitative", "title": None, "scale": {"zero": False}}
        tooltip = [
            titled("design"),
            {"field": "amount", "title": unit, "format": number_format},
            {"field": "mean", "title": said("test error, %"), "format": ".2f"},
            titled("seeds"),
        ]
        chart = {
            "data": {"name": "values"},
            "encoding": {
                "x": {
                    "field": "amount",
                    "type": "quantitative",
                    "title": log_scale(unit),
                    "scale": {"type": "log", "nice": False, "padding": 14},
                    "axis": {"format": "~s", "tickCount": 5},
                },
                "color": {"field": "family", "type": "nominal", "scale": _colours(families)},
                "opacity": filtered["opacity"],
            },
            "layer": [
                {
                    **filtered["params"],
                    "mark": {"type": "rule", "strokeWidth": 2},
                    "encoding": {"y": {**upward, "field": "from"}, "y2": {"field": "to"}},
                },
                {
                    "mark": {"type": "point", "size": 75, "filled": True},
                    "encoding": {
                        "y": upward,
                        "shape": {"field": "family", "type": "nominal", "scale": _shapes(families)},
                        "tooltip": tooltip,
                    },
                },
            ],
        }
        title = said("Test error over {budget}", budget=known(budget))
        how = said("; ").join([error_words(groups, "test"), said("point: mean, line: its 95 % interval")])
        spec = complete_chart(chart, {"values": values}, title=title, how=how, height=260)
        yield Figure(f"error-over-{budget}", title, spec)


def _points(group: Group, sample: Sample) -> list[Spec]:
    return [
        {**_about(group), "seed": seed, "value": value} for seed, value in zip(group.seeds, sample.values, strict=True)
    ]


def _interval(group: Group) -> Spec:
    """The mean error of a group and the ends of its interval; without an interval, both ends are the mean."""
    low, high = mean_interval(group.errors) or (_mean(group), _mean(group))
    return {**_about(group), "mean": _mean(group), "from": max(0.0, low), "to": high, "seeds": len(group.seeds)}


def _about(group: Group) -> Spec:
    return {
        "family": group.row.family,
        "group": group.label,
        "design": group.row.design,
        "depth": group.row.depth,
    }


def _mean(group: Group) -> float:
    return group.row.test_error_percent.mean


def _tooltip(*fields: str, value: str) -> list[Spec]:
    return [*map(titled, fields), {"field": "value", "format": ".4g", "title": value}]


def _families(values: Iterable[Spec]) -> list[str]:
    """The families in the charts: those of the catalogue first, in its order."""
    present = dict.fromkeys(value["family"] for value in values)
    return [*(name for name in FAMILIES if name in present), *(name for name in present if name not in FAMILIES)]


def _colours(families: Sequence[str]) -> Spec:
    return {"domain": list(families), "range": [look_of(name)[0] for name in families]}


def _shapes(families: Sequence[str]) -> Spec:
    return {"domain": list(families), "range": [look_of(name)[1] for name in families]}
