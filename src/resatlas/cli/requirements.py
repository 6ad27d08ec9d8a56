"""Requirements of options: the table OPTIONS of each verb says for each option what it requires.

An option whose requirement is not met is refused. `test_requirements.py` checks that every option has a row.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resatlas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A requirement, a test whether a command meets it, and the description of a command that does not."""

    what: str
    holds: Callable[[argparse.Namespace], bool]
    otherwise: str


ALWAYS = Requirement(what="any other", holds=lambda _: True, otherwise="")

A_DESIGN = Requirement(what="a DESIGN", holds=lambda options: options.design is not None, otherwise="without a DESIGN")

Requirements = Mapping[str, Requirement]


def check_requirements(table: Requirements, options: argparse.Namespace, words: Sequence[str], *, prog: str) -> None:
    """Refuse an option of a command that does not meet the option's requirement.

    Raises: UsageError
    """
    for option, requirement in table.items():
        is_used = any(word == option or word.startswith(f"{option}=") for word in words)
        if is_used and not requirement.holds(options):
            raise UsageError(f"{prog} {requirement.otherwise} does not take {option}; it requires {requirement.what}")
