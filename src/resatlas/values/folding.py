"""Fit a table into a width: forms from wide to narrow, which break heads first and words last."""

import re
from collections.abc import Callable, Iterator
from textwrap import wrap
from typing import NamedTuple

from resatlas.values.table import Table

Rows = tuple[tuple[str, ...], ...]

_LONGEST_WORDS = (24, 12)
"""Numbers of letters after which words are broken in the narrowest forms."""


class Form(NamedTuple):
    """The cells of a table, each of one line or several, with `gap` letters between columns."""

    head: tuple[str, ...]
    rows: Rows
    gap: int

    @property
    def spans(self) -> tuple[int, ...]:
        """The number of letters of the longest line of each column."""
        return tuple(max(map(_span, column)) for column in zip(self.head, *self.rows, strict=True))

    @property
    def width(self) -> int:
        """The number of letters of a whole line."""
        return sum(self.spans) + self.gap * (len(self.head) - 1)


def forms(table: Table) -> Iterator[Form]:
    """The forms of a table, the widest first; numbers are never broken."""
    rows = table.cells
    yield Form(table.head, rows, 2)
    yield Form(_heads(table, rows), rows, 2)
    rows = _changed(table, rows, _stacked, numbers=True)
    yield Form(_heads(table, rows), rows, 1)
    rows = _changed(table, rows, _by_knob, numbers=False)
    yield Form(_heads(table, rows), rows, 1)
    for longest in _LONGEST_WORDS:
        rows = _changed(table, rows, lambda text, span=longest: _wrapped(text, span), numbers=False)
        yield Form(_heads(table, rows), rows, 1)


def folded(table: Table, width: int | None) -> Form:
    """The widest form that fits, or the narrowest; without a width, the widest."""
    for form in forms(table):
        if width is None or form.width <= width:
            return form
    return form


def _span(text: str) -> int:
    return max(map(len, text.split("\n")))


def _heads(table: Table, rows: Rows) -> tuple[str, ...]:
    """The heads, broken to about the width of their columns."""
    spans = [max(map(_span, cells), default=1) for cells in zip(*rows, strict=True)] or [1] * len(table.head)
    return tuple(map(_wrapped, table.head, spans))


def _changed(table: Table, rows: Rows, change: Callable[[str], str], *, numbers: bool) -> Rows:
    """The rows with a change applied to all columns of numbers, or to all columns of words."""
    chosen = [bool(column.unit) == numbers for column in table.columns]
    return tuple(tuple(change(text) if on else text for text, on in zip(row, chosen, strict=True)) for row in rows)


def _stacked(text: str) -> str:
    """A mean above its deviation; the ends of an interval below each other."""
    return re.sub(r" (?=±|\(|to )", "\n", text)


def _by_knob(text: str) -> str:
    """A design or a data set, broken after each knob."""
    return re.sub(r"(?<=[:,])(?=[a-z])", "\n ", text)


def _wrapped(text: str, span: int) -> str:
    """The text broken at blanks and hyphens; longer words are not broken."""
    return "\n".join(
        part
        for line in text.split("\n")
        for part in wrap(line, max(span, 1), break_long_words=False, drop_whitespace=True) or [""]
    )
