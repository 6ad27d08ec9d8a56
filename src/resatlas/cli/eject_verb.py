"""`resatlas eject`: a network as one readable file."""

import argparse

from resatlas.cli import describe_verb
from resatlas.cli.outcome import Outcome
from resatlas.designs.catalog import resolve
from resatlas.nets.eject.source import source


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options, which are those of describe."""
    describe_verb.arguments(parser)


def run(options: argparse.Namespace) -> Outcome:
    """The source of the network."""
    entry = resolve(options.design)
    text = source(entry, image=options.image, classes=options.classes)
    return Outcome({"name": entry.name, "source": text}, text.rstrip("\n"))
