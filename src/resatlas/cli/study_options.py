"""Options that verbs which write a page have in common."""

import argparse
import re
from pathlib import Path

from resatlas.errors import quoted
from resatlas.studies.study import Study
from resatlas.values.language import LANGUAGES

_MOST_WORKERS = 1_024


def add_options(parser: argparse.ArgumentParser, *, name: str) -> None:
    """Declare the options of a study; `name` is its name in the help."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"folder for its runs and its page (default: runs/{name})"
    )
    parser.add_argument(
        "--workers", type=_workers, metavar="N", help="runs that are trained at the same time (default: one per core)"
    )
    language_option(parser)


def language_option(parser: argparse.ArgumentParser) -> None:
    """Declare the language of a page."""
    parser.add_argument(
        "--lang", choices=LANGUAGES, default="en", help="language of the page: English or Chinese (default: en)"
    )


def _workers(text: str) -> int:
    """A number of workers.

    Raises: ArgumentTypeError
    """
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {_MOST_WORKERS:,}; got {quoted(text)}")
    return int(text)


def folder_of(study: Study, options: argparse.Namespace) -> Path:
    """The folder of the runs of a study."""
    return options.out or Path("runs") / study.name
