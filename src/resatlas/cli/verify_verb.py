"""`resatlas verify`: our counts against the printed ones."""

import argparse
from collections import Counter

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements
from resatlas.designs.catalog import matching
from resatlas.designs.verdicts import verdicts
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned

OPTIONS: Requirements = {}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="names or a family, as in wrn-*")


def run(options: argparse.Namespace) -> Outcome:
    """Every entry against the figures printed for it; exit code 1 where a verdict is not the recorded one."""
    found = [verdict for entry in matching(options.pattern) for verdict in verdicts(entry)]
    fallen = [verdict for verdict in found if not verdict.stands]
    data = [
        {
            "name": verdict.name,
            "quantity": verdict.quantity,
            "ours": verdict.ours,
            "printed": verdict.printed,
            "convention": verdict.convention,
            "verdict": verdict.verdict,
        }
        for verdict in found
    ]
    bare = {verdict.name for verdict in found} - {verdict.name for verdict in found if verdict.verdict != "none"}
    columns = (*words("name", "quantity", "verdict", "convention"), *numbers("printed", "ours"))
    rows = tuple(
        (
            verdict.name,
            verdict.quantity.replace("_", "-"),
            verdict.verdict if verdict.stands else f"{verdict.verdict}, recorded {verdict.recorded}",
            verdict.convention,
            verdict.printed,
            verdict.ours,
        )
        for verdict in found
        if verdict.verdict != "none" or verdict.name in bare
    )
    counts = Counter(verdict.verdict for verdict in found)
    lines = [
        aligned(Table(columns=columns, rows=rows)),
        f"yes {counts['yes']} (our count gives the printed digits), partly {counts['partly']} (only the named rule "
        f"does), no {counts['no']} (no rule known), none {counts['none']} (nothing printed)",
        f"{len(fallen)} verdicts differ from the recorded ones" if fallen else "every verdict is the recorded one",
    ]
    return Outcome(data, "\n".join(lines), exit_code=1 if fallen else 0)
