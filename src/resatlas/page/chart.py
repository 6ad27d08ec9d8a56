"""What all charts share: their look, their legends, and how a specification is finished."""

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Literal

from resatlas.designs.catalog import FAMILIES, families
from resatlas.page.figure import Spec

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

COLOURS = tuple(family.colour for family in FAMILIES.values())
"""Of lines that are no families: by Okabe and Ito, with grey for their yellow."""

OTHER = ("#7f4f24", "stroke")
"""The look of any further family."""

LONGEST_LINE = 36
"""Letters of a title that a phone shows side by side."""

LETTERS = 12  # pixels: the least that is read on a phone

THEME: Spec = {
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

WIDE_LABEL = 18
"""Letters from which designs stand one to a line below a chart, so that a phone shows them."""

FAINT = 0.07
"""What is left of a design that the legend has switched off."""

Kind = Literal["linear", "log", "symlog"]
"""Of a scale."""


def look_of(family: str) -> tuple[str, str]:
    """The colour and the shape of a family, the same in all charts."""
    known = families().get(family)
    return (known.colour, known.shape) if known else OTHER


def finished(chart: Spec, data: Mapping[str, Sequence[Spec]], *, title: str, how: str, height: int) -> Spec:
    """A chart with its data, its title and the theme, as wide as its place on the page."""
    return {
        "$schema": SCHEMA,
        "title": {
            "text": title if len(title) <= LONGEST_LINE else wrap(title, LONGEST_LINE),
            "subtitle": wrap(how, 54),
        },
        "description": f"{title}: {how}",
        "usermeta": {"title": title},
        "width": "container",
        "height": height,
        **chart,
        "datasets": {name: list(values) for name, values in data.items()},
        "config": THEME,
    }


def title_of(spec: Spec) -> str:
    """The title of a finished chart in one line."""
    return spec["usermeta"]["title"]


def drawable(value: object, scale: Kind) -> bool:
    """Whether a scale has a place for the value: a finite number, above 0 on a log scale."""
    return isinstance(value, int | float) and math.isfinite(value) and (value > 0 or scale != "log")


def picked_by(field: str, usual: float = 0.9) -> dict[str, Spec]:
    """A legend that switches on and off, and how faint the others are; all are shown until one is chosen."""
    select = {"type": "point", "fields": [field], "toggle": "true"}
    return {"params": {"params": [{"name": "shown", "select": select, "bind": "legend"}]}, "opacity": opacity(usual)}


def legend_of(labels: Sequence[str]) -> Spec:
    """A legend in as many columns as a phone has room for."""
    return {"columns": 2 if max(map(len, labels)) < WIDE_LABEL else 1, "labelLimit": 300}


def opacity(usual: float) -> Spec:
    """Of what the legend may switch off: as usual while it is on."""
    return {"condition": {"param": "shown", "value": usual}, "value": FAINT * usual}
