"""Which options of a verb go together: one table a verb, OPTIONS in its module, with a row for each of its options.

The parser refuses an option where it would have no meaning. `test_requirements.py` requires a row for every option.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resatlas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What gives an option its meaning, and how the command reads where that is missing."""

    what: str
    holds: Callable[[argparse.Namespace], bool]
    otherwise: str


ALWAYS = Requirement(what="any other", holds=lambda _: True, otherwise="")

A_DESIGN = Requirement(what="a DESIGN", holds=lambda options: options.design is not None, otherwise="without a DESIGN")

Requirements = Mapping[str, Requirement]


def check_requirements(table: Requirements, options: argparse.Namespace, words: Sequence[str], *, prog: str) -> None:
    """Refuse an option that was given without what it goes with.

    Raises: UsageError
    """
    for option, goes in table.items():
        given = any(word == option or word.startswith(f"{option}=") for word in words)
        if given and not goes.holds(options):
            raise UsageError(f"{prog} {goes.otherwise} does not take {option}; it goes with {goes.what}")
