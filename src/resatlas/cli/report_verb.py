"""`resatlas report`: write one self-contained HTML page about runs."""

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

_MOST_NAMED = 3
"""Folders named in the title."""

OPTIONS: Requirements = {
    "--out": ALWAYS,
    "--figures": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folders of runs or studies, or folders that contain them"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="page.html", help="HTML file to write (required)")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="also write all charts of the page as SVG and PNG into this folder"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Write the page from the run folders; misclassified images are shown if the data set is available."""
    if options.out.suffix not in (".html", ".htm"):
        raise UsageError(f"a page must be an .html file; got {options.out}; files of other types are not overwritten")
    if options.figures is not None:
        check_folder(options.figures)
    run_sets = read_run_sets(options.runs)
    write_page(options.out, title=f"resatlas: {_names(options.runs)}", run_sets=run_sets, pictures=pictures())
    data = {"page": str(options.out), "questions": [run_set.question.name for run_set in run_sets]}
    text = f"{options.out}: open it in a browser; it works offline"
    if options.figures is None:
        return Outcome(data, text)
    names = write_figures(options.figures, page_figures(run_sets))
    files = [str(options.figures / name) for name in names]
    return Outcome({**data, "figures": files}, f"{text}\n{options.figures}: {len(files)} figures, SVG and PNG")


def _names(folders: Sequence[Path]) -> str:
    """The names of the folders, shortened if there are many."""
    names = [presentable(folder.resolve().name) for folder in folders]
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more])
