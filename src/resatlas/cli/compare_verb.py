"""`resatlas compare`: what runs say about their designs, with the trained net as the unit."""

import argparse
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.cli.together import ALWAYS, Together, With

FORMATS = ("table", "markdown", "latex", "csv")

AS_TEXT = With(what="text, without --json", holds=lambda options: not options.json, otherwise="with --json")

OPTIONS: Together = {
    "--against": ALWAYS,
    "--metric": ALWAYS,
    "--margin": ALWAYS,
    "--difference": ALWAYS,
    "--format": AS_TEXT,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs or studies, or of many")
    parser.add_argument(
        "--against",
        metavar="DESIGN",
        help="compare all others with this one, other sizes of its kind too (default: each with the nearest in size)",
    )
    parser.add_argument(
        "--metric",
        default="test_error",
        metavar="METRIC",
        help="test_error, train_loss (evaluation mode, clean images) or time_to_error=PERCENT (default: test_error)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="POINTS",
        help="difference that does not matter: designs within it are equivalent (default: none)",
    )
    parser.add_argument(
        "--difference",
        type=float,
        metavar="POINTS",
        help="difference for which the seeds needed are counted (default: 0.5 points of test error)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="of the text; table if not said")


def run(options: argparse.Namespace) -> Outcome:
    """The answers from the run folders alone."""
    from resatlas.comparing.answer_data import as_csv, data
    from resatlas.comparing.answering import compare
    from resatlas.page.comparison_text import document
    from resatlas.page.document import FORMATS as WRITTEN

    answers = compare(
        options.runs,
        against=options.against,
        points=options.difference,
        metric=options.metric,
        margin=options.margin,
    )
    text = as_csv(answers) if options.format == "csv" else WRITTEN[options.format](document(answers))
    return Outcome([data(each) for each in answers], text)
