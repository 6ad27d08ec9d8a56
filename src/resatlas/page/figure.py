"""A chart as a page holds it and as a file is named after it."""

from typing import Any, NamedTuple

Spec = dict[str, Any]
"""A Vega-Lite specification that holds its data."""


class Figure(NamedTuple):
    """A chart: a name that no other on its page has, of small letters, digits and dashes; its title; what is drawn."""

    name: str
    title: str
    spec: Spec
