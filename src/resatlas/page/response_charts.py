"""The charts of the responses in a factorial analysis: two factors together, and residuals."""

from collections.abc import Iterator, Sequence

from resatlas.comparing.effects import fitted, means_of
from resatlas.comparing.factorial import Factorial, measured
from resatlas.comparing.words import presentable
from resatlas.page.chart import COLOURS, RULE, complete_chart, legend_filter, legend_of, titled
from resatlas.page.effects_text import response_in_words
from resatlas.page.figure import Figure, Spec
from resatlas.runs.collection import Factor
from resatlas.values.language import said


def interaction(analysis: Factorial, pair: tuple[str, str]) -> Figure:
    """The mean response over the levels of a factor, with a line for each level of the other."""
    one, other = (_factor(analysis, name) for name in pair)
    lines = [f"{presentable(other.name)}: {level}" for level in _levels(other)]
    values = []
    for (a, b), mean in means_of(analysis.levels, analysis.values, *pair).items():
        natural = measured(mean, analysis.scale)
        value = {"level": _levels(one)[a > 0], "line": lines[b > 0], "mean": mean}
        values.append(value if natural is None else {**value, "natural": natural})
    across = {
        "field": "level",
        "type": "nominal",
        "sort": list(_levels(one)),
        "title": presentable(one.name),
        "axis": {"labelAngle": 0, "labelLimit": 140},
        "scale": {"type": "point", "padding": 0.5},
    }
    upward = {
        "field": "mean",
        "type": "quantitative",
        "title": said("mean {response}", response=response_in_words(analysis)),
        "scale": {"zero": False, "padding": 8},
    }
    legend = {**legend_of(lines), "symbolType": "stroke", "symbolSize": 300, "symbolStrokeWidth": 2}
    filtered = legend_filter("line")
    shared = {
        "x": across,
        "y": upward,
        "color": {
            "field": "line",
            "type": "nominal",
            "scale": {"domain": lines, "range": list(COLOURS[:2])},
            "legend": legend,
        },
        "opacity": filtered["opacity"],
    }
    tooltip: list[Spec] = [
        {"field": "level", "title": presentable(one.name)},
        {"field": "line", "title": said("line")},
        {"field": "mean", "title": said("mean response"), "format": ".3g"},
        *([{"field": "natural", "title": _unit(analysis), "format": ".3g"}] if "natural" in values[0] else []),
    ]
    dashes = {"domain": lines, "range": [[1, 0], [6, 3]]}
    chart = {
        "data": {"name": "means"},
        "encoding": shared,
        "layer": [
            {
                **filtered["params"],
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {"strokeDash": {"field": "line", "type": "nominal", "scale": dashes, "legend": legend}},
            },
            {"mark": {"type": "point", "size": 65, "filled": True}, "encoding": {"tooltip": tooltip}},
        ],
    }
    title = said("Interaction of {one} and {other}", one=presentable(one.name), other=presentable(other.name))
    how = said(
        "point: mean {response} at two levels; parallel lines: no interaction", response=response_in_words(analysis)
    )
    name = f"interaction-{one.name}-{other.name}"
    return Figure(name, title, complete_chart(chart, {"means": values}, title=title, how=how, height=260))


def _factor(analysis: Factorial, name: str) -> Factor:
    [factor] = (factor for factor in analysis.factors if factor.name == name)
    return factor


def _levels(factor: Factor) -> Sequence[str]:
    """What - and + of a factor mean, in words that differ."""
    return f"{presentable(factor.minus)} (-)", f"{presentable(factor.plus)} (+)"


def _unit(analysis: Factorial) -> str:
    noun = analysis.measure.noun
    return said("{noun}, %", noun=noun) if analysis.measure.metric == "test_error" else noun


def residuals(analysis: Factorial) -> Iterator[Figure]:
    """Residuals over fitted values; nothing if the model fits every value, as with as many effects as cells."""
    expected = fitted(analysis.levels, analysis.values)
    deviation = analysis.effects.deviation
    if not analysis.effects.checks.largest:
        return
    values = [
        {
            "cell": cell.levels,
            "design": presentable(design),
            "seed": seed,
            "fitted": float(expected[row, column]),
            "residual": float(analysis.values[row, column] - expected[row, column]) / deviation,
        }
        for row, (cell, design) in enumerate(zip(analysis.cells, analysis.designs, strict=True))
        for column, seed in enumerate(analysis.seeds)
    ]
    upward = {"type": "quantitative", "title": said("residual, standard deviations")}
    chart = {
        "layer": [
            {
                "data": {"name": "zero"},
                "mark": {"type": "rule", "color": RULE},
                "encoding": {"y": {**upward, "field": "at"}},
            },
            {
                "data": {"name": "residuals"},
                "mark": {"type": "point", "size": 50, "filled": True, "opacity": 0.75, "color": COLOURS[0]},
                "encoding": {
                    "x": {
                        "field": "fitted",
                        "type": "quantitative",
                        "title": said("fitted {response}", response=response_in_words(analysis)),
                        "scale": {"zero": False, "padding": 12},
                        "axis": {"tickCount": 5},
                    },
                    "y": {**upward, "field": "residual"},
                    "tooltip": [
                        *map(titled, ("cell", "design", "seed")),
                        {**titled("residual"), "format": "+.2f"},
                    ],
                },
            },
        ],
    }
    title = said("Residuals over fitted values")
    how = said(
        "point: one run; without a pattern, and as wide on the left as on the right, they agree with the model; beyond "
        "3 a run is unusual"
    )
    data = {"residuals": values, "zero": [{"at": 0}]}
    yield Figure("residuals", title, complete_chart(chart, data, title=title, how=how, height=260))
