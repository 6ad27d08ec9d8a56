"""`resatlas evaluate`: test a finished run again."""

import argparse
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.studies.single import retest


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")


def run(options: argparse.Namespace) -> Outcome:
    """Loss and error of the run's newest checkpoint on the test set, and predictions.csv anew."""
    values = retest(options.run)
    return Outcome(values, "\n".join(f"{name} {value:.6g}" for name, value in values.items()))
