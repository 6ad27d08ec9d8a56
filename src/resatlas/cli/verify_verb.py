"""`resatlas verify`: compare our counts with the printed sizes."""

import argparse
from collections import Counter

from resatlas.cli.display import fitted
from resatlas.cli.list_verb import PATTERN_HELP
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements
from resatlas.designs.catalog import matching
from resatlas.designs.verdicts import verdicts
from resatlas.values.table import Table, numbers, words
from resatlas.values.text import counted

OPTIONS: Requirements = {}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help=PATTERN_HELP)


def run(options: argparse.Namespace) -> Outcome:
    """Every design against its printed sizes; exit code 1 if a verdict differs from the recorded one."""
    checked = [verdict for entry in matching(options.pattern) for verdict in verdicts(entry)]
    changed = [verdict for verdict in checked if not verdict.stands]
    data = [
        {
            "name": verdict.name,
            "quantity": verdict.quantity,
            "ours": verdict.ours,
            "printed": verdict.printed,
            "convention": verdict.convention,
            "verdict": verdict.verdict,
        }
        for verdict in checked
    ]
    unprinted = {verdict.name for verdict in checked} - {
        verdict.name for verdict in checked if verdict.verdict != "none"
    }
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
        for verdict in checked
        if verdict.verdict != "none" or verdict.name in unprinted
    )
    counts = Counter(verdict.verdict for verdict in checked)
    lines = [
        fitted(Table(columns=columns, rows=rows)),
        f"yes {counts['yes']} (our count gives the printed digits), partly {counts['partly']} (only the named rule "
        f"does), no {counts['no']} (no rule known), none {counts['none']} (nothing printed)",
        f"{counted(len(changed), 'verdict')} not as recorded" if changed else "every verdict is the recorded one",
    ]
    return Outcome(data, "\n".join(lines), exit_code=1 if changed else 0)
