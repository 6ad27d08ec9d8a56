"""The Vega-Lite layers of the drawing of a network; each shows one of its data sets."""

from collections.abc import Mapping, Sequence
from typing import Any

from resatlas.page.chart import legend_filter
from resatlas.page.figure import Spec
from resatlas.values.language import known, said

_WORDS = (
    ("path", "path"),
    ("channels", "channels"),
    ("map", "feature map"),
    ("stride", "stride"),
    ("adds", "shortcut"),
    ("operations", "operations"),
)
_COUNTS = (("parameters", "parameters"), ("multiply_adds", "multiply-adds"))
"""Fields of a block in its tooltip, and their titles; counts have thousands separators."""

_MANY = 60  # convolutions; the lines of longer drawings are thin


def layers(
    maps: Sequence[Mapping[str, Any]], *, across: float, upward: float, colours: Mapping[str, str]
) -> list[Spec]:
    """Rules between feature map sizes, lines, blocks, inner widths, shortcuts, and points where those are mixed.

    x is from 0 to `across`, y from -`upward` to `upward`; `colours` are those of the shortcuts in the drawing.
    """
    x_scale = {"domain": [-0.25, across + 0.25], "nice": False}  # room for points at the ends
    horizontal = {"type": "quantitative", "scale": x_scale}
    bare = {**horizontal, "axis": None}
    vertical = {"type": "quantitative", "axis": None, "scale": {"domain": [-upward, upward], "nice": False}}
    colour = {"field": "shortcut", "type": "nominal"}
    colour |= {"scale": {"domain": list(colours), "range": list(colours.values())}}
    tooltip = [{"field": name, "title": known(words)} for name, words in _WORDS]
    tooltip += [{"field": name, "title": known(words), "format": ","} for name, words in _COUNTS]
    filtered = legend_filter("shortcut", 1)
    box = {"x": {"field": "x", **bare}, "x2": {"field": "x2"}}

    def named(field: str, orient: str) -> Spec:
        """The labels of feature map sizes as an axis; labels that do not fit are left out."""
        labels = {size["middle"]: size[field] for size in maps}
        tests = "".join(f"abs(datum.value - {middle}) < 0.01 ? '{label}' : " for middle, label in labels.items())
        axis = {"orient": orient, "title": None, "domain": False, "ticks": False, "grid": False}
        axis |= {"values": list(labels), "labelExpr": f"{tests}''", "labelOverlap": "greedy"}
        return {**horizontal, "axis": axis}

    return [
        {
            "data": {"name": "maps"},
            "mark": {"type": "rule", "strokeDash": [2, 3], "color": "#bbbbbb", "aria": False},
            "encoding": {"x": {"field": "x", **named("map", "top")}},
        },
        {
            "data": {"name": "wires"},
            "mark": {"type": "rule", "strokeCap": "round", "aria": False},
            "encoding": {
                "x": {"field": "x", **named("channels", "bottom")},
                "x2": {"field": "x2"},
                "y": {"field": "y", **vertical},
                "y2": {"field": "y2"},
                "color": {"condition": {"test": "datum.way == 'across'", "value": "#222222"}, "value": "#9a9a9a"},
            },
        },
        {
            "data": {"name": "blocks"},
            **filtered["params"],
            "mark": {"type": "rect"},
            "encoding": {
                **box,
                "y": {"field": "y", **vertical},
                "y2": {"field": "y2"},
                "color": colour,
                "opacity": filtered["opacity"],
                "tooltip": tooltip,
            },
        },
        {
            "data": {"name": "blocks"},
            "transform": [{"filter": "isValid(datum.inner)"}],
            "mark": {"type": "rect", "color": "#000000", "opacity": 0.28},
            "encoding": {**box, "y": {"field": "inner", **vertical}, "y2": {"field": "inner2"}, "tooltip": tooltip},
        },
        {
            "data": {"name": "arcs"},
            "mark": {"type": "rule", "strokeCap": "round", "strokeWidth": 2 if across < _MANY else 1.2, "aria": False},
            "encoding": {
                **box,
                "y": {"field": "y", **vertical},
                "y2": {"field": "y2"},
                "color": colour,
                "opacity": filtered["opacity"],
            },
        },
        {
            "data": {"name": "hubs"},
            "mark": {"type": "point", "filled": True, "size": 28, "color": "#222222", "opacity": 1},
            "encoding": {
                "x": {"field": "x", **bare},
                "y": {"field": "y", **vertical},
                "tooltip": [{"field": "what", "title": said("mixing")}],
            },
        },
    ]
