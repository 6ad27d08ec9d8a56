"""`resatlas cite`: print BibTeX of the papers that a network uses."""

import argparse

from resatlas.cli.designs import DESIGN_HELP, design_named
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements
from resatlas.designs.citations import bibtex, papers_of

OPTIONS: Requirements = {}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("design", metavar="DESIGN", help=DESIGN_HELP)


def run(options: argparse.Namespace) -> Outcome:
    """BibTeX of exactly the papers whose parts the network has."""
    papers = papers_of(design_named(options.design))
    data = [
        {
            "key": paper.key,
            "title": paper.title,
            "authors": list(paper.authors),
            "year": paper.year,
            "arxiv": paper.arxiv,
            "bibtex": bibtex(paper),
        }
        for paper in papers
    ]
    return Outcome(data, "\n\n".join(map(bibtex, papers)))
