"""The option --of of the verbs that use the weights of a run."""

import argparse
from typing import get_args

from resatlas.runs.record import Epoch


def epoch_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Declare --of."""
    parser.add_argument(
        "--of",
        choices=get_args(Epoch),
        default="last",
        help="epoch whose weights are used: last, or best, the one of least validation error, if the run was trained "
        "with --keep best,last (default: last)",
    )
