"""The callback for progress of counted work."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with a description of the work, the number of items done, and their total."""


def silent(*_: object) -> None:
    """No-op."""
