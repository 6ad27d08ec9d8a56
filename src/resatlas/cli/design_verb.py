"""`resatlas design`: the design page in a browser on this machine."""

import argparse

from resatlas.cli.designs import DESIGN_HELP, design_named
from resatlas.cli.display import say
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements
from resatlas.page.design.document import design_page, local_transport
from resatlas.page.design.question import Question, as_cross, subject_of
from resatlas.values.text import counted

OPTIONS: Requirements = {}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "design", nargs="?", metavar="DESIGN", help=f"the first network: {DESIGN_HELP} (default: resnet-20)"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Serve the page until a signal; the number of answered questions."""
    from resatlas.serving.design_server import DesignServer

    first = _first(options.design)
    server = DesignServer(design_page(local_transport(), first=first))

    def on_ready() -> None:
        if not options.quiet:
            say(f"open {server.address} in a browser of this machine (stop with Ctrl-C)")

    server.serve(on_ready)
    answered = server.answered
    return Outcome({"answered": answered}, f"stopped after {counted(answered, 'answered question')}")


def _first(design: str | None) -> Question:
    """The first question: a file is shown as a cross, since the page itself reads none.

    Raises: as `design_named`; BlueprintError if a network in code cannot be said in a file.
    """
    if design is None:
        return Question()
    if design.endswith(".toml") or ".py" in design or "/" in design.partition(":")[0]:
        return as_cross(design_named(design))
    question = Question(text=design)
    subject_of(question)
    return question
