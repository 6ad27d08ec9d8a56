"""Words of a user in a form that is safe on a page or a terminal."""

import re

from resatlas.values.table import Table
from resatlas.values.text import plain

_FOLDERS = re.compile(r"(?:^|(?<=[=:,]))(?:[A-Za-z]:)?[/\\](?:[^/\\]*[/\\])*")


def presentable(word: str) -> str:
    """Return the word with absolute paths cut to ".../" and the last name, and "?" for unprintable characters."""
    return plain(_FOLDERS.sub(".../", word))


def presentable_table(table: Table) -> Table:
    """Return the table with all its words presentable."""
    return Table(
        title=presentable(table.title),
        note=presentable(table.note),
        columns=tuple(column._replace(name=presentable(column.name)) for column in table.columns),
        rows=tuple(tuple(presentable(cell) if isinstance(cell, str) else cell for cell in row) for row in table.rows),
    )
