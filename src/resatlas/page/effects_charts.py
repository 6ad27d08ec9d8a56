"""The charts of the effects of a factorial analysis: with their intervals, and against what noise alone would do."""

from collections.abc import Mapping

from resatlas.comparing.effects import Effect, Effects, half_normal
from resatlas.comparing.factorial import Factorial, supported
from resatlas.comparing.words import presentable
from resatlas.page.chart import COLOURS, LETTERS, RULE, complete_chart, legend_of, titled
from resatlas.page.effects_text import response_in_words
from resatlas.page.figure import Figure, Spec
from resatlas.page.response_charts import interaction, residuals
from resatlas.values.language import known, said

_UNSUPPORTED_PAIRS = 2
"""Interactions that are drawn if none is significant."""

_ROW = 26  # pixels of an effect in its chart

_ORDERS = {"main": "main effect", "interaction": "interaction"}

_LOOKS: Mapping[str, Spec] = {
    "datum.significant": {"filled": True},
    "!datum.significant": {"filled": False, "fill": "white"},
}


def charts(analysis: Factorial) -> tuple[Figure, ...]:
    """All charts of the analysis, in the order of the page."""
    return (
        _effects(analysis),
        _half_normal(analysis),
        *(interaction(analysis, pair) for pair in drawn_pairs(analysis)),
        *residuals(analysis),
    )


def drawn_pairs(analysis: Factorial) -> tuple[tuple[str, str], ...]:
    """The pairs of factors whose interaction is drawn: the significant ones, or else the two largest."""
    interactions = [effect for effect in analysis.effects.effects if effect.order == "interaction"]
    significant = [effect for effect in supported(analysis.effects.effects) if effect.order == "interaction"]
    largest = sorted(interactions, key=lambda effect: -abs(effect.estimate))[:_UNSUPPORTED_PAIRS]
    return tuple((effect.factors[0], effect.factors[1]) for effect in significant or largest)


def _effects(analysis: Factorial) -> Figure:
    """Each effect with its interval, main effects above interactions, significant ones filled."""
    significant = {effect.factors for effect in supported(analysis.effects.effects)}
    values = [_value(effect, effect.factors in significant) for effect in analysis.effects.effects]
    names = [value["effect"] for value in values]
    across = {"type": "quantitative", "title": said("effect on the {response}", response=response_in_words(analysis))}
    encoding = {
        "y": {"field": "effect", "type": "nominal", "sort": names, "title": None, "axis": {"labelLimit": 170}},
        "color": {**_by_order(), "legend": None},
        "tooltip": [
            titled("effect"),
            titled("order"),
            {**titled("estimate"), "format": "+.3g"},
            {**titled("from"), "format": "+.3g"},
            {**titled("to"), "format": "+.3g"},
            {"field": "p", "title": said("p by Holm"), "format": ".2g"},
        ],
    }
    chart = {
        "layer": [
            {
                "data": {"name": "zero"},
                "mark": {"type": "rule", "color": RULE},
                "encoding": {"x": {**across, "field": "at"}},
            },
            {
                "data": {"name": "effects"},
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {**encoding, "x": {**across, "field": "from"}, "x2": {"field": "to"}},
            },
            *(
                {
                    "data": {"name": "effects"},
                    "transform": [{"filter": test}],
                    "mark": {"type": "point", "size": 70, "opacity": 1, **look},
                    "encoding": {**encoding, "x": {**across, "field": "estimate"}},
                }
                for test, look in _LOOKS.items()
            ),
        ],
    }
    title = said("Effects on {noun}", noun=analysis.measure.noun)
    how = said(
        "{response} at + less that at -; line: 95 % interval; main effects above interactions; filled: significant "
        "(Holm)",
        response=response_in_words(analysis),
    )
    data = {"effects": values, "zero": [{"at": 0}]}
    height = max(100, _ROW * len(values))
    return Figure("effects", title, complete_chart(chart, data, title=title, how=how, height=height))


def _by_order() -> Spec:
    """The colour of an effect."""
    scale = {"domain": list(map(known, _ORDERS.values())), "range": list(COLOURS[:2])}
    return {"field": "order", "type": "nominal", "scale": scale}


def _value(effect: Effect, significant: bool) -> Spec:
    return {
        "effect": presentable(effect.name),
        "order": known(_ORDERS[effect.order]),
        "estimate": effect.estimate,
        "from": effect.low,
        "to": effect.high,
        "p": effect.adjusted,
        "significant": significant,
    }


def _half_normal(analysis: Factorial) -> Figure:
    """The sizes of the effects over half-normal quantiles, with the line of noise and Lenth's margins."""
    chart = {"layer": _half_normal_layers(response_in_words(analysis))}
    data = _half_normal_data(analysis.effects)
    title = said("Half-normal plot of the effects")
    how = said(
        "effects of noise alone lie near the line; dashed: Lenth's margins at 95 %, which need no repetition; effects "
        "above the margin of one effect are named"
    )
    return Figure("half-normal", title, complete_chart(chart, data, title=title, how=how, height=300))


def _half_normal_data(effects: Effects) -> dict[str, list[Spec]]:
    """The points of the effects, the ends of the line of noise, and the margins."""
    lenth = effects.lenth
    ranked = half_normal(effects.effects)
    points = [
        {
            "effect": presentable(effect.name),
            "order": known(_ORDERS[effect.order]),
            "quantile": quantile,
            "size": abs(effect.estimate),
            "label": presentable(effect.name) if abs(effect.estimate) > lenth.margin else "",
        }
        for quantile, effect in ranked
    ]
    last = ranked[-1][0]
    return {
        "effects": points,
        "noise": [{"quantile": 0.0, "size": 0.0}, {"quantile": last, "size": lenth.error * last}],
        "margins": [
            {"margin": said("margin of one effect"), "size": lenth.margin},
            {"margin": said("margin of all effects"), "size": lenth.simultaneous},
        ],
    }


def _half_normal_layers(response: str) -> list[Spec]:
    across = {
        "field": "quantile",
        "type": "quantitative",
        "title": said("half-normal quantile"),
        "axis": {"tickCount": 5},
    }
    upward = {
        "field": "size",
        "type": "quantitative",
        "title": said("size of the effect, {response}", response=response),
    }
    words = {"type": "text", "fontSize": LETTERS, "baseline": "middle", "limit": 170}
    return [
        {
            "data": {"name": "noise"},
            "mark": {"type": "line", "color": RULE, "strokeWidth": 1},
            "encoding": {"x": across, "y": upward},
        },
        {
            "data": {"name": "margins"},
            "mark": {"type": "rule", "color": RULE, "strokeDash": [4, 3]},
            "encoding": {"y": upward, "tooltip": [titled("margin"), {**titled("size"), "format": ".3g"}]},
        },
        {
            "data": {"name": "margins"},
            "mark": {**words, "color": "#444444", "align": "left", "baseline": "bottom", "dy": -2},
            "encoding": {"x": {"value": 4}, "y": upward, "text": {"field": "margin"}},
        },
        {
            "data": {"name": "effects"},
            "mark": {"type": "point", "size": 65, "opacity": 1, "filled": True},
            "encoding": {
                "x": across,
                "y": upward,
                "color": {**_by_order(), "legend": legend_of(list(map(known, _ORDERS.values())))},
                "tooltip": [
                    titled("effect"),
                    {**titled("size"), "format": ".3g"},
                    {**titled("quantile"), "format": ".2f"},
                ],
            },
        },
        {
            "data": {"name": "effects"},
            "mark": {**words, "color": "#222222", "align": "right", "dx": -8},
            "encoding": {"x": across, "y": upward, "text": {"field": "label"}},
        },
    ]
