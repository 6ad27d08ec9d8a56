"""`resatlas demo`: train small networks on bundled digits and write a report."""

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
    add_options(parser, name="demo")


def run(options: argparse.Namespace) -> Outcome:
    """Train the designs of five papers on digits, at great depth and at an equal budget, and compare them."""
    return carry_out_and_show(demo_study(), options)
