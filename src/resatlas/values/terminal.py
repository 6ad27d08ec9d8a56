"""A table as plain text for a terminal."""

from itertools import zip_longest

from resatlas.values.folding import folded
from resatlas.values.table import Table
from resatlas.values.text import plain

WIDE = 120
"""Letters per line of a text file or a wide terminal."""


def text(table: Table, *, width: int | None = None) -> str:
    """Title, table and note."""
    if table.title and not table.rows:
        return f"{plain(table.title)}: nothing"
    parts = (plain(table.title), aligned(table, width=width), plain(table.note))
    return "\n".join(part for part in parts if part)


def aligned(table: Table, *, width: int | None = None) -> str:
    """Head and rows, words aligned left and numbers right, broken to fit the width.

    A terminal narrower than the narrowest form wraps the lines itself.
    """
    form = folded(table, width)
    spans, left = form.spans, [not column.unit for column in table.columns]
    head, *rows = ([[plain(line) for line in cell.split("\n")] for cell in row] for row in (form.head, *form.rows))
    height = max(map(len, head))
    head = [[*[""] * (height - len(cell)), *cell] for cell in head]
    return "\n".join(
        (" " * form.gap)
        .join(
            cell.ljust(span) if flush else cell.rjust(span) for cell, span, flush in zip(line, spans, left, strict=True)
        )
        .rstrip()
        for row in (head, *rows)
        for line in zip_longest(*row, fillvalue="")
    )
