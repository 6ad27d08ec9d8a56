"""Headings, paragraphs, lists and tables, of which documents are made.

`page.document` writes them as text, Markdown or LaTeX, the macro `block` of the templates as HTML, and
`exporting.card` as the Markdown of a model card.
"""

from dataclasses import dataclass

from resatlas.values.table import Table


@dataclass(frozen=True)
class Heading:
    """A heading."""

    words: str


@dataclass(frozen=True)
class Paragraph:
    """One or more sentences."""

    words: str


@dataclass(frozen=True)
class Bullets:
    """A bulleted list with a title."""

    title: str
    lines: tuple[str, ...]


Block = Heading | Paragraph | Bullets | Table
