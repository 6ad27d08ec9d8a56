"""A chart with its name and title."""

from typing import Any, NamedTuple

Spec = dict[str, Any]
"""A Vega-Lite specification with its data."""


class Figure(NamedTuple):
    """A chart: its name, unique on a page, of small letters, digits and dashes; its title; its specification."""

    name: str
    title: str
    spec: Spec
