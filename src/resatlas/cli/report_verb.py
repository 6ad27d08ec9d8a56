"""`resatlas report`: one self-contained page of runs."""

import argparse
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.errors import UsageError
from resatlas.reporting.page import write_page
from resatlas.reporting.report import report


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs or of studies")
    parser.add_argument("--out", type=Path, required=True, metavar="page.html", help="where the page goes")


def run(options: argparse.Namespace) -> Outcome:
    """Write the page from the run folders alone."""
    if options.out.suffix not in (".html", ".htm"):
        raise UsageError(f"a page is an .html file; {options.out} is not, and nothing else is replaced")
    answers = report(options.runs)
    write_page(options.out, title=f"resatlas: {', '.join(folder.name for folder in options.runs)}", answers=answers)
    data = {"page": str(options.out), "questions": [answer.question.name for answer in answers]}
    return Outcome(data, f"{options.out}: open it in a browser; it needs no network")
