"""Text and tables in Markdown, with special characters escaped."""

import re

from resatlas.values.table import Table

_MARKUP = re.compile(r"[\\`*_\[\]|~#!$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Characters with a meaning in GitHub's Markdown: code, tables, links, formulas, names; see also `_ENTITIES`."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

_LONGEST = 200  # characters


def as_text(words: str, *, longest: int = _LONGEST) -> str:
    """The words on one line of bounded length, with special characters escaped and "?" for unprintable ones."""
    line = " ".join(words.split())
    printable = "".join(c if c.isprintable() else "?" for c in (line if len(line) <= longest else f"{line[:longest]}…"))
    marked = _MARKUP.sub(r"\\\g<0>", printable)
    return "".join(_ENTITIES.get(c, c) for c in marked)


def table(rows: Table) -> str:
    """A table in Markdown: words aligned left, numbers right."""
    rule = ("---:" if column.unit else "---" for column in rows.columns)
    lines = (tuple(as_text(cell, longest=len(cell)) for cell in line) for line in (rows.head, *rows.cells))
    head, *others = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, f"| {' | '.join(rule)} |", *others])
