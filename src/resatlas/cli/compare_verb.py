"""`resatlas compare`: differences and verdicts between the designs of finished runs, one value per network."""

import argparse
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements

FORMATS = ("table", "markdown", "latex", "csv")

AS_TEXT = Requirement(what="text, without --json", holds=lambda options: not options.json, otherwise="with --json")

OPTIONS: Requirements = {
    "--against": ALWAYS,
    "--metric": ALWAYS,
    "--margin": ALWAYS,
    "--difference": ALWAYS,
    "--format": AS_TEXT,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder of a run or a study, or a folder that contains them"
    )
    parser.add_argument(
        "--against",
        metavar="DESIGN",
        help="baseline: compare every other design with it, including its other sizes (default: compare each with the "
        "nearest in parameters)",
    )
    parser.add_argument(
        "--metric",
        default="test_error",
        metavar="METRIC",
        help="value to compare: test_error, train_loss (evaluation mode, clean images) or time_to_error=PERCENT "
        "(default: test_error)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="POINTS",
        help="largest difference that does not matter: designs within it are equivalent (default: none)",
    )
    parser.add_argument(
        "--difference",
        type=float,
        metavar="POINTS",
        help="report the seeds needed to detect this difference (default: 0.5 points of test error)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="format of the text (default: table)")


def run(options: argparse.Namespace) -> Outcome:
    """Compare the runs from their folders alone."""
    from resatlas.comparing.comparison import compare
    from resatlas.comparing.comparison_data import as_csv, as_json
    from resatlas.page.comparison_text import document
    from resatlas.page.document import FORMATS as WRITTEN

    comparisons = compare(
        options.runs,
        against=options.against,
        points=options.difference,
        metric=options.metric,
        margin=options.margin,
    )
    text = as_csv(comparisons) if options.format == "csv" else WRITTEN[options.format](document(comparisons))
    return Outcome([as_json(comparison) for comparison in comparisons], text)
