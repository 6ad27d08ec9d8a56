"""`resatlas hypotheses`: what the runs of a study say of the hypotheses in its file."""

import argparse
from pathlib import Path

from resatlas.cli.compare_verb import AS_TEXT, FORMATS
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements

OPTIONS: Requirements = {"--format": AS_TEXT}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY", help="folder of a study with hypotheses")
    parser.add_argument("--format", choices=FORMATS, default="table", help="format of the text (default: table)")


def run(options: argparse.Namespace) -> Outcome:
    """Test the hypotheses of the studies together, from their folders alone."""
    from resatlas.comparing.hypotheses import judged
    from resatlas.comparing.hypotheses_data import as_csv, as_json
    from resatlas.comparing.run_sets import read_run_sets
    from resatlas.page.document import FORMATS as WRITTEN
    from resatlas.page.hypotheses_text import document

    answers = judged(read_run_sets(options.studies))
    text = as_csv(answers) if options.format == "csv" else WRITTEN[options.format](document(answers))
    return Outcome([as_json(one) for one in answers], text)
