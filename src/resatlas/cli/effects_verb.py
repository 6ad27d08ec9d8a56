"""`resatlas effects`: the effects of the factors of a factorial study."""

import argparse
from pathlib import Path

from resatlas.cli.compare_verb import AS_TEXT, FORMATS
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.errors import UsageError

OPTIONS: Requirements = {"--metric": ALWAYS, "--format": AS_TEXT}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY", help="folder of a study with factors")
    parser.add_argument(
        "--metric",
        default="test_error",
        metavar="METRIC",
        help="response: test_error, or train_loss (evaluation mode, clean images) (default: test_error)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="format of the text (default: table)")


def run(options: argparse.Namespace) -> Outcome:
    """Analyse the factorial questions of the studies from their folders alone."""
    from resatlas.comparing.effects_data import as_csv, as_json
    from resatlas.comparing.factorial import factorial
    from resatlas.comparing.measures import measure_of
    from resatlas.comparing.run_sets import read_run_sets
    from resatlas.page.document import FORMATS as WRITTEN
    from resatlas.page.effects_text import document

    measure = measure_of(options.metric)
    questions = [run_set for run_set in read_run_sets(options.studies) if run_set.question.factors]
    if not questions:
        raise UsageError("no question here has factors; `resatlas compare` compares designs pair by pair")
    analyses = [factorial(run_set, measure) for run_set in questions]
    text = as_csv(analyses) if options.format == "csv" else WRITTEN[options.format](document(analyses))
    return Outcome([as_json(analysis) for analysis in analyses], text)
