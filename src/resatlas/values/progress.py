"""How work that is counted reports its progress."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is under way, how much of it is done, and how much there is."""


def silent(*_: object) -> None:
    """Report nothing."""
