"""`resatlas demo`: train small networks on bundled digits and write a report."""

import argparse

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.cli.study_options import add_options
from resatlas.cli.studying import carry_out_and_show
from resatlas.studies.study import demo_study

OPTIONS: Requirements = {
    "--out": ALWAYS,
    "--workers": ALWAYS,
    "--lang": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    add_options(parser, name="demo")


def run(options: argparse.Namespace) -> Outcome:
    """Train the designs of five papers on digits, at great depth and at an equal budget, and compare them."""
    study = demo_study()
    return carry_out_and_show(study, options, drawing=study.data)
