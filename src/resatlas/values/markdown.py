"""Words of a user in a Markdown text: whatever they hold, they stay words."""

import re

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


def as_table(head: tuple[str, ...], rows: list[tuple[str, ...]], *, words: int = 1) -> str:
    """A table: the columns of words flush left, the others flush right; its cells are Markdown already."""
    rule = (*("---" for _ in head[:words]), *("---:" for _ in head[words:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
