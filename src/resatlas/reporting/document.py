"""A short document of headings, paragraphs, lists and tables, and the formats that it is written in."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from resatlas.arch.text import aligned
from resatlas.reporting.words import presentable
from resatlas.values.markdown import as_table, as_text


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    words: str


@dataclass(frozen=True)
class Paragraph:
    """A sentence or some."""

    words: str


@dataclass(frozen=True)
class Bullets:
    """A list under a title."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """A table: its caption, head and rows, and how many of the first columns are words."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


Block = Heading | Paragraph | Bullets | Sheet

Document = Sequence[Block]


def terminal(document: Document) -> str:
    """The document as plain text."""
    return "\n\n".join(map(_terminal, document))


def markdown(document: Document) -> str:
    """The document as GitHub's Markdown: whatever its words hold, they stay words."""
    return "\n\n".join(map(_markdown, document))


def latex(document: Document) -> str:
    """The document as LaTeX for the body of a paper; it needs no package, tables are tabular in table*."""
    return "\n\n".join(map(_latex, document))


FORMATS: Mapping[str, Callable[[Document], str]] = {"table": terminal, "markdown": markdown, "latex": latex}


def _terminal(block: Block) -> str:
    match block:
        case Heading(words):
            return presentable(words)
        case Paragraph(words):
            return presentable(words)
        case Bullets(title, lines):
            return "\n".join([presentable(title), *(f"- {presentable(line)}" for line in lines)])
        case Sheet(caption, head, rows, words):
            shown = [tuple(map(presentable, row)) for row in rows]
            return f"{presentable(caption)}\n{aligned(head, shown, left=words)}"
        case _:
            assert_never(block)


def _markdown(block: Block) -> str:
    match block:
        case Heading(words):
            return f"## {_marked(words)}"
        case Paragraph(words):
            return _marked(words)
        case Bullets(title, lines):
            return f"{_marked(title)}\n\n" + "\n".join(f"- {_marked(line)}" for line in lines)
        case Sheet(caption, head, rows, words):
            cells = [tuple(map(_marked, row)) for row in rows]
            return f"{_marked(caption)}\n\n{as_table(tuple(map(_marked, head)), cells, words=words)}"
        case _:
            assert_never(block)


def _latex(block: Block) -> str:
    match block:
        case Heading(words):
            return rf"\subsection*{{{escaped(words)}}}"
        case Paragraph(words):
            return escaped(words)
        case Bullets(title, lines):
            items = "\n".join(rf"  \item {escaped(line)}" for line in lines)
            return f"{escaped(title)}\n\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
        case Sheet(caption, head, rows, words):
            columns = "l" * words + "r" * (len(head) - words)
            lines = [" & ".join(map(escaped, row)) + r" \\" for row in (head, *rows)]
            body = "\n".join([r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"])
            return (
                f"\\begin{{table*}}\n\\caption{{{escaped(caption)}}}\n\\begin{{tabular}}{{{columns}}}\n{body}\n"
                "\\end{tabular}\n\\end{table*}"
            )
        case _:
            assert_never(block)


MARKS: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "–": "--",
    **{mark: f"\\{mark}" for mark in "{}$&#_%"},
}
"""What LaTeX would not print as it stands."""


def escaped(words: str) -> str:
    """Words for LaTeX: whatever they hold, they stay words."""
    return re.sub("|".join(map(re.escape, MARKS)), lambda mark: MARKS[mark[0]], " ".join(presentable(words).split()))


def _marked(words: str) -> str:
    return as_text(presentable(words), longest=len(words))
