"""Colours, legends, theme and title of all charts."""

import math
import re
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Literal

from resatlas.designs.catalog import FAMILIES, installed
from resatlas.page.figure import Spec
from resatlas.values.language import CHINESE, known, said

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

COLOURS = tuple(family.colour for family in FAMILIES.values())
"""Colours of lines that are not families: the palette of Okabe and Ito, with grey in place of yellow."""

_OTHER = ("#7f4f24", "stroke")
"""Colour and shape of families outside the catalogue."""

_LONGEST_LINE = 36
"""Letters of a title that fit into one line on a phone."""

RULE = "#777777"
"""The colour of lines that mark a value, such as zero."""

LETTERS = 12  # pixels: the smallest font that is legible on a phone

_THEME: Spec = {
    "font": "Helvetica, Arial, Liberation Sans, sans-serif",
    "background": "transparent",
    "padding": {"left": 2, "right": 8, "top": 4, "bottom": 4},
    "title": {
        "anchor": "start",
        "fontSize": 14,
        "color": "#222222",
        "subtitleFontSize": LETTERS,
        "subtitleColor": "#5a5a5a",
        "offset": 10,
    },
    "view": {"stroke": None},
    "axis": {
        "gridColor": "#e6e6e6",
        "domainColor": "#999999",
        "tickColor": "#999999",
        "labelColor": "#444444",
        "labelFontSize": LETTERS,
        "titleFontSize": LETTERS,
        "titleFontWeight": "normal",
    },
    "legend": {
        "orient": "bottom",
        "title": None,
        "columns": 3,
        "symbolOpacity": 1,
        "labelColor": "#222222",
        "labelFontSize": LETTERS,
    },
}

_WIDE_LABEL = 18
"""Letters from which a legend has one column, so that labels fit on a phone."""

_FAINT = 0.07
"""Opacity of lines and points that the legend filters out, relative to the usual one."""

Kind = Literal["linear", "log"]
"""The type of a scale."""


def look_of(family: str) -> tuple[str, str]:
    """The colour and the shape of a family, the same in all charts."""
    entry = FAMILIES.get(family) or installed().get(family)
    return (entry.colour, entry.shape) if entry else _OTHER


def complete_chart(chart: Spec, data: Mapping[str, Sequence[Spec]], *, title: str, how: str, height: int) -> Spec:
    """A chart with its data, title and theme, as wide as its container on the page."""
    return {
        "$schema": SCHEMA,
        "title": {
            "text": title if len(title) <= _LONGEST_LINE else _lines(title, _LONGEST_LINE),
            "subtitle": _lines(how, 54),
        },
        "description": said("{title}: {how}", title=title, how=how),
        "usermeta": {"title": title, "how": how},
        "width": "container",
        "height": height,
        **chart,
        "datasets": {name: list(values) for name, values in data.items()},
        "config": _THEME,
    }


def _lines(text: str, letters: int) -> list[str]:
    """The text in lines of at most so many letters, of which a Chinese one counts twice."""
    return wrap(text, letters // 2 if re.search(f"[{CHINESE}]", text) else letters)


def titled(field: str) -> Spec:
    """A field with its name as the title, in the language of the page."""
    title = known(field)
    return {"field": field} if title == field else {"field": field, "title": title}


def log_scale(quantity: str) -> str:
    """The quantity of an axis with a logarithmic scale."""
    return said("{quantity}, log scale", quantity=quantity)


def title_of(spec: Spec) -> str:
    """The title of a complete chart in one line."""
    return spec["usermeta"]["title"]


def drawable(value: object, scale: Kind) -> bool:
    """Whether the scale can show the value: a finite number, positive on a log scale."""
    return isinstance(value, int | float) and math.isfinite(value) and (value > 0 or scale != "log")


def legend_filter(field: str, usual: float = 0.9) -> dict[str, Spec]:
    """A legend filter and the opacity it controls; everything is shown until the reader clicks a name."""
    select = {"type": "point", "fields": [field], "toggle": "true"}
    return {"params": {"params": [{"name": "shown", "select": select, "bind": "legend"}]}, "opacity": opacity(usual)}


def legend_of(labels: Sequence[str]) -> Spec:
    """A legend with as many columns as fit on a phone."""
    return {"columns": 2 if max(map(len, labels)) < _WIDE_LABEL else 1, "labelLimit": 250}


def opacity(usual: float) -> Spec:
    """The opacity of lines and points that the legend can filter out."""
    return {"condition": {"param": "shown", "value": usual}, "value": _FAINT * usual}
