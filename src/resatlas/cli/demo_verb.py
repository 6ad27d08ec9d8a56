"""`resatlas demo`: the main job, on data that need no download."""

import argparse

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.cli.studying import add_options, carry_out_and_show
from resatlas.studies.study import demo_study

OPTIONS: Requirements = {
    "--out": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    add_options(parser)


def run(options: argparse.Namespace) -> Outcome:
    """Train the designs of five papers on digits, deep and at an equal budget, and compare them."""
    return carry_out_and_show(demo_study(), options)
