"""The charts of a question: over depth, design by design, over each budget, epoch by epoch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from resatlas.comparing.budgets import BUDGETS, amount_of
from resatlas.comparing.comparison import Comparison
from resatlas.comparing.questions import Group
from resatlas.comparing.rows import Sample
from resatlas.comparing.statistics import mean_interval
from resatlas.designs.catalog import FAMILIES
from resatlas.page.chart import drawable, finished, look_of, picked_by
from resatlas.page.curves import curves
from resatlas.page.figure import Figure, Spec
from resatlas.runs.collection import View

APART = 8.0
"""Times that the largest error is of the least, or of 1 %, from which a linear scale would squeeze the others."""


def charts(view: View, told: Comparison) -> tuple[Figure, ...]:
    """The charts that answer a view's question, then errors over budgets, then the curves; names are the question's."""
    groups = told.question.groups
    match view:
        case "depth":
            own = tuple(_over_depth(groups))
        case "budget" | "runs":
            own = ()
        case _:
            assert_never(view)
    several = (_leaders(told), *_over_budgets(groups)) if len(groups) > 1 else ()
    return (*own, *several, *curves(groups))


def _over_depth(groups: Sequence[Group]) -> Iterator[Figure]:
    """Training loss and test error over depth: a point a seed, a line through the means of each family."""
    how = "point: seed, line: mean; the legend picks families"
    scale, axis, told_scale = _errors_scale(groups)
    losses = [point for group in groups for point in _points(group, group.row.train_loss)]
    errors = [point for group in groups for point in _points(group, group.row.test_error_percent)]
    title, words = "Training loss over depth", f"cross-entropy, log scale; {how}"
    yield _depth_panel("loss-over-depth", losses, title, words, {"scale": {"type": "log"}})
    title, words = "Test error over depth", f"% of the test images; {how}{told_scale}"
    yield _depth_panel("error-over-depth", errors, title, words, {"scale": scale, "axis": axis})


def _depth_panel(name: str, points: Sequence[Spec], title: str, how: str, how_up: Spec) -> Figure:
    values = [point for point in points if drawable(point["value"], how_up["scale"].get("type", "linear"))]
    families = _families(points)
    upward = {"field": "value", "type": "quantitative", "title": None, **how_up}
    picked = picked_by("family")
    chart = {
        "encoding": {
            "x": {
                "field": "depth",
                "type": "quantitative",
                "title": "depth",
                "scale": {"zero": False, "padding": 12},
                "axis": {"tickMinStep": 1},
            },
            "color": {"field": "family", "type": "nominal", "scale": _colours(families)},
            "opacity": picked["opacity"],
        },
        "layer": [
            {
                **picked["params"],
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
    return Figure(name, title, finished(chart, {"values": values}, title=title, how=how, height=300))


def _leaders(told: Comparison) -> Figure:
    """Test errors as dots, the lowest mean above, with the interval of each mean."""
    groups = sorted(told.question.groups, key=_mean)
    order = [group.label for group in groups]
    values = [point for group in groups for point in _points(group, group.row.test_error_percent)]
    scale, axis, told_scale = _errors_scale(groups)
    across = {"field": "value", "type": "quantitative", "title": "test error, %", "scale": scale, "axis": axis}
    down = {
        "field": "group",
        "type": "nominal",
        "sort": order,
        "title": None,
        "axis": {"labelLimit": 170},
    }
    colour = {"field": "family", "type": "nominal", "scale": _colours(_families(values)), "legend": None}
    tooltip = [
        {"field": "design"},
        {"field": "mean", "title": "mean, %", "format": ".2f"},
        {"field": "from", "format": ".2f"},
        {"field": "to", "format": ".2f"},
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
                "encoding": {"x": across, "tooltip": _tooltip("design", "seed", value="test error, %")},
            },
        ],
    }
    title = "Test error in the last epoch"
    data = {"values": values, "intervals": [_interval(group) for group in groups]}
    how = f"point: seed, tick: mean, line: 95 % interval of the mean over seeds{told_scale}"
    return Figure("test-error", title, finished(chart, data, title=title, how=how, height=max(100, 30 * len(order))))


def _errors_scale(groups: Iterable[Group]) -> tuple[Spec, Spec, str]:
    """Scale and axis of test errors, and the words for it: log(1 + x) where the largest is many times the least."""
    means = sorted(map(_mean, groups))
    if means[-1] > APART * max(means[0], 1.0):
        return {"type": "symlog", "constant": 1}, {"values": [0, 1, 2, 5, 10, 20, 50, 100]}, "; scale: log(1 + error)"
    return {"zero": False}, {}, ""


def _over_budgets(groups: Sequence[Group]) -> Iterator[Figure]:
    """Test error over each budget: a point the mean of a design, a bar its interval."""
    families = _families(_about(group) for group in groups)
    scale, axis, told_scale = _errors_scale(groups)
    picked = picked_by("family")
    for budget in BUDGETS:
        values = [
            {**_interval(group), "amount": amount_of(group, budget)}
            for group in groups
            if drawable(amount_of(group, budget), "log")
        ]
        unit = "seconds a training" if budget == "seconds" else budget
        format_ = ",.1f" if budget == "seconds" else ",.0f"
        upward = {"field": "mean", "type": "quantitative", "title": None, "scale": scale, "axis": axis}
        tooltip = [
            {"field": "design"},
            {"field": "amount", "title": unit, "format": format_},
            {"field": "mean", "title": "test error, %", "format": ".2f"},
            {"field": "seeds"},
        ]
        chart = {
            "data": {"name": "values"},
            "encoding": {
                "x": {
                    "field": "amount",
                    "type": "quantitative",
                    "title": f"{unit}, log scale",
                    "scale": {"type": "log", "nice": False, "padding": 14},
                    "axis": {"format": "~s", "tickCount": 5},
                },
                "color": {"field": "family", "type": "nominal", "scale": _colours(families)},
                "opacity": picked["opacity"],
            },
            "layer": [
                {
                    **picked["params"],
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
        title = f"Test error over {budget}"
        how = f"% of the test images; point: mean, line: its 95 % interval; the legend picks families{told_scale}"
        spec = finished(chart, {"values": values}, title=title, how=how, height=260)
        yield Figure(f"error-over-{budget}", title, spec)


def _points(group: Group, sample: Sample) -> list[Spec]:
    return [
        {**_about(group), "seed": seed, "value": value} for seed, value in zip(group.seeds, sample.values, strict=True)
    ]


def _interval(group: Group) -> Spec:
    """The mean error of a group with the ends of its interval, which are the mean where it has none."""
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
    return [*({"field": field} for field in fields), {"field": "value", "format": ".4g", "title": value}]


def _families(values: Iterable[Spec]) -> list[str]:
    """The families that occur: known ones first, in the order of the catalogue."""
    present = dict.fromkeys(value["family"] for value in values)
    return [*(name for name in FAMILIES if name in present), *(name for name in present if name not in FAMILIES)]


def _colours(families: Sequence[str]) -> Spec:
    return {"domain": list(families), "range": [look_of(name)[0] for name in families]}


def _shapes(families: Sequence[str]) -> Spec:
    return {"domain": list(families), "range": [look_of(name)[1] for name in families]}
