"""`resatlas eject`: print a network as one readable Python file."""

import argparse

from resatlas.cli.describe_verb import image_shape
from resatlas.cli.designs import CLASSES_HELP, DESIGN_HELP, IMAGE_HELP, design_named
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.eject.source import source

OPTIONS: Requirements = {"--classes": ALWAYS, "--image": ALWAYS}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("design", metavar="DESIGN", help=DESIGN_HELP)
    parser.add_argument("--classes", type=int, metavar="N", help=CLASSES_HELP)
    parser.add_argument("--image", type=image_shape, metavar="C,H,W", help=IMAGE_HELP)


def run(options: argparse.Namespace) -> Outcome:
    """The source of the network."""
    entry = design_named(options.design)
    text = source(entry, image=options.image, classes=options.classes, design=options.design)
    return Outcome({"name": entry.name, "source": text}, text.rstrip("\n"))
