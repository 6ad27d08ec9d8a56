"""The interface of a verb, and its result."""

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from resatlas.cli.requirements import Requirements


@dataclass(frozen=True)
class Outcome:
    """The result of a verb: values for --json, text otherwise, and the exit code."""

    data: Any
    text: str
    exit_code: int = 0


class Verb(Protocol):
    """A module of one verb; `OPTIONS` maps each of its options to what the option requires."""

    OPTIONS: "Requirements"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, options: argparse.Namespace) -> Outcome:
        """Run the verb."""
        ...
