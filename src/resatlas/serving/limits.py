"""What one server takes at most: bytes, pixels, images that wait, connections, seconds."""

from dataclasses import dataclass

from resatlas.errors import UsageError

_RANGES: dict[str, tuple[float, float]] = {
    "max_body": (1_000, 250_000_000),
    "max_pixels": (1, 1_000_000_000),
    "queue": (1, 10_000),
    "batch": (1, 1_024),
    "connections": (1, 10_000),
    "answer_seconds": (0.1, 600),
}
"""The smallest and the largest value of each option."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server.

    max_body: bytes of a request's body.
    max_pixels: pixels of an image, known from its header before anything is decoded.
    queue: images that are decoded, classified or waiting at the same time; more are answered with 503 at once.
    batch: images of one forward pass.
    connections: open connections; further ones are answered with 503, except for questions about health.
    answer_seconds: seconds for a body to arrive, and then seconds for its answer.
    silent_seconds: seconds for the line and the headers of a request to arrive on an open connection.

    Raises: UsageError if a value is outside its range.
    """

    max_body: int = 10_000_000
    max_pixels: int = 25_000_000
    queue: int = 64
    batch: int = 16
    connections: int = 256
    answer_seconds: float = 10.0
    silent_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be between {least:,g} and {most:,g}; got {value:,g}")

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies in memory at the same time, over all requests: 16 of the largest."""
        return 16 * self.max_body
