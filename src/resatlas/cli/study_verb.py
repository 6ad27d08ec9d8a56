"""`resatlas study`: carry out the runs of a study file."""

import argparse
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.cli.studying import add_options, carry_out_and_show
from resatlas.studies.study import read_study

OPTIONS: Requirements = {
    "--out": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a study in TOML; for an example see studies/demo.toml of the package"
    )
    add_options(parser, name="<study>")


def run(options: argparse.Namespace) -> Outcome:
    """Carry out the study, and print its answers."""
    return carry_out_and_show(read_study(options.file), options)
