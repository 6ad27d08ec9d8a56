"""Documents of headings, paragraphs, lists and tables, as text, Markdown or LaTeX."""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from resatlas.comparing.words import presentable, presentable_table
from resatlas.values import latex, markdown, terminal
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.table import Table

Document = Sequence[Block]


def as_text(document: Document) -> str:
    """The document as plain text."""
    return "\n\n".join(map(_terminal, document))


def _as_markdown(document: Document) -> str:
    """The document as GitHub's Markdown; markup in names of the user is escaped."""
    return "\n\n".join(map(_markdown, document))


def _as_latex(document: Document) -> str:
    """The document as LaTeX for the body of a paper; its first line names the package that the tables need."""
    return "\n\n".join([latex.PACKAGES, *map(_latex, document)])


FORMATS: Mapping[str, Callable[[Document], str]] = {"table": as_text, "markdown": _as_markdown, "latex": _as_latex}


def _terminal(block: Block) -> str:
    match block:
        case Heading(words):
            return presentable(words)
        case Paragraph(words):
            return presentable(words)
        case Bullets(title, lines):
            return "\n".join([presentable(title), *(f"- {presentable(line)}" for line in lines)])
        case Table():
            return terminal.text(presentable_table(block))
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
        case Table(title=title):
            return f"{_marked(title)}\n\n{markdown.table(presentable_table(block))}"
        case _:
            assert_never(block)


def _latex(block: Block) -> str:
    match block:
        case Heading(words):
            return rf"\subsection*{{{_escaped(words)}}}"
        case Paragraph(words):
            return _escaped(words)
        case Bullets(title, lines):
            items = "\n".join(rf"  \item {_escaped(line)}" for line in lines)
            return f"{_escaped(title)}\n\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
        case Table():
            return latex.table(presentable_table(block))
        case _:
            assert_never(block)


def _escaped(words: str) -> str:
    return latex.escaped(presentable(words))


def _marked(words: str) -> str:
    return markdown.as_text(presentable(words), longest=len(words))
