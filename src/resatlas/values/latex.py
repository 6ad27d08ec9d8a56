"""Text and tables in LaTeX, for the body of an article."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from resatlas.values.folding import Form, forms
from resatlas.values.table import Table

PACKAGES = r"% in the preamble: \usepackage{booktabs}"

TEXT_WIDTH, GAP, DIGIT = 345.0, 6.0, 4.63
"""Points: text width of a 10 pt article, gap between two columns, width of a digit of Computer Modern in \\small.

Source: article.cls and size10.clo of LaTeX; cmr9.tfm.
"""

_MARKS: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
    "|": r"\textbar{}",
    "--": "-{}-",  # of an option such as --json; LaTeX joins two hyphens to a dash
    "[": "{[}",  # LaTeX reads an option after a line break
    "*": "{*}",  # the same
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≈": r"$\approx$",
    "→": r"$\to$",
    "²": r"$^2$",
    "–": "--",
    "…": r"\dots{}",
    **{mark: f"\\{mark}" for mark in "{}$&#_%"},
}
"""Characters that LaTeX does not print unchanged, and their replacements."""


def escaped(words: str) -> str:
    """Text for LaTeX, with all special characters escaped."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words.split()))
    return re.sub("|".join(map(re.escape, _MARKS)), lambda mark: _MARKS[mark[0]], line)


def table(whole: Table) -> str:
    """A table with its caption, no wider than the text of an article: cells are broken, then the table is split.

    Each part has all columns of words and some of the columns of numbers.
    """
    parts = "\n\n\\medskip\n".join(map(_tabular, _parts(whole)))
    caption = ". ".join(words for words in (whole.title, whole.note) if words)
    return (
        f"\\begin{{table*}}\n\\centering\\small\\setlength{{\\tabcolsep}}{{{GAP / 2:g}pt}}\n"
        f"\\caption{{{escaped(caption)}}}\n{parts}\n\\end{{table*}}"
    )


def _parts(whole: Table) -> Iterator[Table]:
    """The table, or as few parts as fit in their narrowest form."""
    *_, narrowest = forms(whole)
    if _width(narrowest) <= TEXT_WIDTH:
        yield whole
        return
    words = [index for index, column in enumerate(whole.columns) if not column.unit]
    spans = narrowest.spans
    free = TEXT_WIDTH - sum(DIGIT * spans[index] + GAP for index in words)
    numbers: list[int] = []
    for index, column in enumerate(whole.columns):
        if not column.unit:
            continue
        wider = [*numbers, index]
        if numbers and sum(DIGIT * spans[k] + GAP for k in wider) > free:
            yield _columns(whole, [*words, *numbers])
            wider = [index]
        numbers = wider
    yield _columns(whole, sorted([*words, *numbers]))


def _columns(whole: Table, indices: list[int]) -> Table:
    return replace(
        whole,
        columns=tuple(whole.columns[index] for index in indices),
        rows=tuple(tuple(row[index] for index in indices) for row in whole.rows),
    )


def _width(form: Form) -> float:
    return DIGIT * sum(form.spans) + GAP * (len(form.spans) - 1)


def _tabular(part: Table) -> str:
    *wider, narrowest = forms(part)
    form = next((form for form in wider if _width(form) <= TEXT_WIDTH), narrowest)
    flush = "".join("r" if column.unit else "l" for column in part.columns)
    head, *rows = (
        " & ".join(_cell(text, side, at) for text, side in zip(row, flush, strict=True)) + r" \\"
        for row, at in ((form.head, "b"), *((row, "t") for row in form.rows))
    )
    between = "\n\\addlinespace\n" if any("\n" in text for row in form.rows for text in row) else "\n"
    body = "\n".join([r"\toprule", head, r"\midrule", between.join(rows), r"\bottomrule"])
    return f"\\begin{{tabular}}{{@{{}}{flush}@{{}}}}\n{body}\n\\end{{tabular}}"


def _cell(text: str, flush: str, at: str) -> str:
    """A cell of one line, or a nested table of its lines."""
    lines = [escaped(line) for line in text.split("\n")]
    if len(lines) == 1:
        return lines[0]
    return rf"\begin{{tabular}}[{at}]{{@{{}}{flush}@{{}}}}" + r" \\ ".join(lines) + r"\end{tabular}"
