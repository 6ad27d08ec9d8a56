"""A table in every format."""

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from resatlas.values import latex, markdown, terminal
from resatlas.values.folding import forms
from resatlas.values.table import Column, Table, from_json, numbers, objects, select, to_json, words

TABLE = Table(
    title="Steps",
    columns=(*words("design"), *numbers("multiply-adds"), Column("test_error", "%", ".2f"), *numbers("interval")),
    rows=(("wrn-16-1:dropout=0.3,norm=none", 40_551_808, 1.9444, "4.47 to 7.94 (3 seeds)"), ("a|[b]", 12, None, "–")),
    note="a note",
)

WIDE = Table(
    title="Many [figures] of --each",
    columns=(*words("first", "second"), *(column for k in range(12) for column in numbers(f"figure {k}"))),
    rows=tuple(("resnet:depth=20,base=16", "*wide\\resnet", *("10.52 to 14.66",) * 12) for _ in range(3)),
)


def test_a_terminal_has_words_to_the_left_and_numbers_to_the_right() -> None:
    """Separators of thousands, digits of the column, a dash for None; title above, note below."""
    assert terminal.text(TABLE).splitlines() == [
        "Steps",
        "design                          multiply-adds  test error (%)                interval",
        "wrn-16-1:dropout=0.3,norm=none     40,551,808            1.94  4.47 to 7.94 (3 seeds)",
        "a|[b]                                      12               –                       –",
        "a note",
    ]


def test_a_narrow_terminal_breaks_figures_before_words() -> None:
    """Heads first, then intervals, then names after each knob; the lines of a head end above the first row."""
    assert terminal.aligned(TABLE, width=48).splitlines() == [
        "                          test",
        "               multiply- error",
        "design              adds   (%)  interval",
        "wrn-16-1:     40,551,808  1.94      4.47",
        " dropout=0.3,                    to 7.94",
        " norm=none                     (3 seeds)",
        "a|[b]                 12     –         –",
    ]


def test_forms_become_narrower_and_keep_every_figure() -> None:
    """No form is wider than the one before, and all have the same letters."""
    widths = [form.width for form in forms(WIDE)]
    assert all(before >= after for before, after in pairwise(widths))
    assert widths[-1] < 0.6 * widths[0]
    assert len({"".join("".join(row).split()) for form in forms(WIDE) for row in form.rows}) == 1


def test_the_name_of_a_field_is_shown_as_words() -> None:
    """And no other name is changed."""
    assert Table(columns=numbers("error_percent", "as T_shirt"), rows=()).head == ("error percent", "as T_shirt")


def test_nothing_steers_a_terminal() -> None:
    """A name with an escape is shown with a question mark."""
    assert "\x1b" not in terminal.text(Table(title="\x1b[2J", columns=words("\x1b"), rows=(("\x1b]0;",),)))


def test_markdown_keeps_marks_as_marks() -> None:
    """Alignment in the rule, a bar of a name escaped."""
    assert markdown.table(TABLE).splitlines()[1:] == [
        "| --- | ---: | ---: | ---: |",
        "| wrn-16-1:dropout=0.3,norm=none | 40,551,808 | 1.94 | 4.47 to 7.94 (3 seeds) |",
        r"| a\|\[b\] | 12 | – | – |",
    ]


def test_latex_fits_the_text_of_an_article() -> None:
    """A wide table is split into parts that repeat the words; each number is in one of them."""
    text = latex.table(WIDE)
    parts = text.split(r"\medskip")
    assert len(parts) == 3
    assert all(part.count("depth=20") == 3 for part in parts)
    assert [text.count(f"figure {k} ") for k in range(12)] == [1] * 12
    assert text.count(r"\caption{Many {[}figures] of -{}-each}") == 1


@pytest.mark.skipif(
    shutil.which("pdflatex") is None and os.environ.get("CI") != "true",
    reason="needs pdflatex with booktabs (texlive-latex-recommended)",
)
def test_latex_compiles_without_an_overfull_line(tmp_path: Path) -> None:
    """An article of one column takes both tables, and neither is wider than its text."""
    body = "\n\n".join(map(latex.table, (TABLE, WIDE)))
    (tmp_path / "a.tex").write_text(
        "\\documentclass{article}\n"
        + latex.PACKAGES.partition(": ")[2]
        + "\n\\begin{document}\n"
        + body
        + "\n\\end{document}\n"
    )
    subprocess.run(["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True)  # noqa: S607
    assert "Overfull" not in (tmp_path / "a.log").read_text(errors="replace")


def test_json_is_read_back() -> None:
    """Every value whole, under the names of the columns."""
    data = to_json(TABLE)
    assert data["columns"][2] == {"name": "test_error", "unit": "%"}
    assert data["rows"][0][2] == 1.9444
    assert to_json(from_json(data)) == data
    assert objects(TABLE)[1]["multiply-adds"] == 12
    assert select(TABLE, ["interval", "design"], title="two").rows[1] == ("–", "a|[b]")


def test_other_json_is_refused() -> None:
    """A row of another length, a value that no table has."""
    for rows in ([["a", 1]], [["a", 1, 2.0, ["b"]]]):
        with pytest.raises((TypeError, ValueError), match=r"row must have as many values|not a value of a table"):
            from_json({**to_json(TABLE), "rows": rows})
