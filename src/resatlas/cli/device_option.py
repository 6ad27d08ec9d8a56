"""The option --device of the verbs that compute."""

import argparse
from typing import get_args

from resatlas.training.execution import Device


def device_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Declare --device."""
    parser.add_argument(
        "--device", choices=get_args(Device), help="device to compute on (default: a GPU if there is one)"
    )
