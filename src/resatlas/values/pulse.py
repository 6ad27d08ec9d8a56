"""How far the main thread of this process is, so that another thread or process can see whether it advances."""

from typing import Protocol


class Mirror(Protocol):
    """A number that another process sees too."""

    value: int


class Pulse:
    """Two counters and a state: exchanges with other processes, batches of images, and whether an exchange is on.

    The main thread writes, other threads read, and another process where there is a mirror. As a context manager it
    marks an exchange; exchanges may nest.
    """

    def __init__(self) -> None:
        self.exchanges = 0
        self.batches = 0
        self.mirror: Mirror | None = None
        self._depth = 0

    @property
    def waiting(self) -> bool:
        """Whether an exchange is on, which waits for the other processes."""
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
"""That of this process."""
