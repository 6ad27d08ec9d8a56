"""Parts of a study: a share for one of several machines or jobs, which all deal in the same way, and single blocks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from resatlas.errors import UsageError, quoted

T = TypeVar("T")

MOST_SHARES = 10_000


@dataclass(frozen=True)
class Share:
    """The share `number` of `of` equal ones; "2/8" is the second of eight.

    Raises: UsageError for another number.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.of <= MOST_SHARES:
            raise UsageError(f"a study has 1 to {MOST_SHARES:,} shares; got {self.of:,}")
        if not 1 <= self.number <= self.of:
            raise UsageError(f"the shares of {self.of:,} are 1 to {self.of:,}; got {self.number:,}")

    def __str__(self) -> str:
        """The text that `parsed` reads."""
        return f"{self.number}/{self.of}"

    def dealt(self, runs: Sequence[T]) -> list[T]:
        """Every `of`-th of the runs, as cards are dealt; if they are ordered by length, shares are equally long."""
        return list(runs[self.number - 1 :: self.of])


WHOLE = Share(1, 1)
"""The whole study."""


def blocks_of_text(text: str) -> tuple[int, ...]:
    """The seeds of a text such as 0,2: the blocks of a study that are carried out.

    Raises: UsageError
    """
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise UsageError(f"blocks are seeds with commas between them, such as 0,2; got {quoted(text)}")
    return tuple(dict.fromkeys(map(int, text.split(","))))


def parsed(text: str) -> Share:
    """The share of a text I/N.

    Raises: UsageError
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not match:
        raise UsageError(f"a share is I/N, such as 2/8 for the second of eight; got {quoted(text)}")
    return Share(int(match[1]), int(match[2]))
