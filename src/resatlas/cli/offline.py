"""What verbs that take a WORD for trained weights share: the help of RUN|FOLDER|WORD, and the option --offline."""

import argparse

from resatlas.weights.obtaining import Access

RUN_HELP = (
    "folder of a finished run or of a saved network, or a word for published weights, as in resnet20_cifar10 "
    "(all: resatlas weights list)"
)


def offline_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Declare the option."""
    parser.add_argument(
        "--offline",
        action="store_true",
        help="never download weights, only search for them on this machine (default: download missing ones)",
    )


def access(options: argparse.Namespace) -> Access:
    """Whether missing weights may be downloaded."""
    return "offline" if options.offline else "online"
