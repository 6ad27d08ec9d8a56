"""The progress of the main thread, so that another thread or process can see whether it advances."""

from typing import Protocol


class Mirror(Protocol):
    """A number shared with another process."""

    value: int


class Pulse:
    """Counters of exchanges with other processes and of batches, and whether an exchange is in progress.

    The main thread writes them, other threads read them, and so does another process if there is a mirror. As a context
    manager it marks an exchange; exchanges can nest.
    """

    def __init__(self) -> None:
        self.exchanges = 0
        self.batches = 0
        self.mirror: Mirror | None = None
        self._depth = 0

    @property
    def waiting(self) -> bool:
        """Whether an exchange is in progress, which waits for the other processes."""
        return self._depth > 0

    def beat(self) -> None:
        """Count a batch."""
        self.batches += 1
        if self.mirror is not None:
            self.mirror.value = self.batches

    def __enter__(self) -> None:
        self.exchanges += 1
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1


PULSE = Pulse()
"""The pulse of this process."""
