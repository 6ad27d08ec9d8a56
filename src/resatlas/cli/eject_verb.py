"""`resatlas eject`: a network as one readable file."""

import argparse

from resatlas.cli.describe_verb import image_shape
from resatlas.cli.designs import design_named
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.eject.source import source

OPTIONS: Requirements = {"--classes": ALWAYS, "--image": ALWAYS}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("design", metavar="DESIGN", help="a name, a name:knob=value, a family:depth=…, or a TOML file")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes; 0 leaves out the classifier")
    parser.add_argument("--image", type=image_shape, metavar="C,H,W", help="shape of an image, as in 3,32,32")


def run(options: argparse.Namespace) -> Outcome:
    """The source of the network."""
    entry = design_named(options.design)
    text = source(entry, image=options.image, classes=options.classes, design=options.design)
    return Outcome({"name": entry.name, "source": text}, text.rstrip("\n"))
