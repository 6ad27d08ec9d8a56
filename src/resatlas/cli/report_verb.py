"""`resatlas report`: one self-contained page of runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.comparing.run_sets import read_run_sets
from resatlas.comparing.words import presentable
from resatlas.errors import UsageError
from resatlas.page.page import page_figures, write_page
from resatlas.page.picture import check_folder, write_figures
from resatlas.studies.pictures import pictures

MOST_NAMED = 3
"""Folders that stand in the title."""

OPTIONS: Requirements = {
    "--out": ALWAYS,
    "--figures": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs or studies, or of many")
    parser.add_argument("--out", type=Path, required=True, metavar="page.html", help="where the page goes")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="also write every chart of the page as SVG and PNG into this folder"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Write the page from the run folders; of the data set only the wrong images are shown, where it is at hand."""
    if options.out.suffix not in (".html", ".htm"):
        raise UsageError(f"a page is an .html file; {options.out} is not; other file types are not overwritten")
    if options.figures is not None:
        check_folder(options.figures)
    answers = read_run_sets(options.runs)
    write_page(options.out, title=f"resatlas: {_named(options.runs)}", answers=answers, pictures=pictures())
    data = {"page": str(options.out), "questions": [answer.question.name for answer in answers]}
    told = f"{options.out}: open it in a browser; it needs no network"
    if options.figures is None:
        return Outcome(data, told)
    names = write_figures(options.figures, page_figures(answers))
    files = [str(options.figures / name) for name in names]
    return Outcome({**data, "figures": files}, f"{told}\n{options.figures}: {len(files)} figures, SVG and PNG")


def _named(folders: Sequence[Path]) -> str:
    names = [presentable(folder.resolve().name) for folder in folders]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])
