"""What a verb is and what it gives back."""

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from resatlas.cli.requirements import Requirements


@dataclass(frozen=True)
class Outcome:
    """The result of a verb: values for --json, text for everyone else, and the exit code."""

    data: Any
    text: str
    exit_code: int = 0


class Verb(Protocol):
    """A module of one verb; `OPTIONS` has a row for each of its options, with what the option goes with."""

    OPTIONS: "Requirements"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, options: argparse.Namespace) -> Outcome:
        """Run the verb."""
        ...
