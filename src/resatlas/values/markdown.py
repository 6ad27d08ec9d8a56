"""Words of a user in a Markdown text: whatever they hold, they stay words."""

import re

from resatlas.values.table import Table

MARKUP = re.compile(r"[\\`*_\[\]|~#!$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What GitHub's Markdown could take for a code, a table, a link, a formula or a name; see also `ENTITIES`."""

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

LONGEST = 200  # characters


def as_text(words: str, *, longest: int = LONGEST) -> str:
    """The words on one line, of bounded length, every mark as the mark itself and "?" for what is not printed."""
    line = " ".join(words.split())
    shown = "".join(c if c.isprintable() else "?" for c in (line if len(line) <= longest else f"{line[:longest]}…"))
    marked = MARKUP.sub(r"\\\g<0>", shown)
    return "".join(ENTITIES.get(c, c) for c in marked)


def table(rows: Table) -> str:
    """A table: words flush left, numbers flush right."""
    rule = ("---:" if column.unit else "---" for column in rows.columns)
    lines = (tuple(as_text(cell, longest=len(cell)) for cell in line) for line in (rows.head, *rows.cells))
    head, *others = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, f"| {' | '.join(rule)} |", *others])
