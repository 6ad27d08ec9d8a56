"""Messages of the package's logger, such as warnings about files: printed to standard error, each once per command."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from resatlas.cli.display import say
from resatlas.values.notes import forget


class _Lines(logging.Handler):
    """A handler that prints each message as one line, without control characters."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        say(" ".join(record.getMessage().split()))


@contextmanager
def notices(*, quiet: bool) -> Iterator[None]:
    """Print the package's messages while a verb runs, unless it is quiet."""
    log, lines = logging.getLogger("resatlas"), logging.NullHandler() if quiet else _Lines()
    before = log.propagate
    forget()
    log.addHandler(lines)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.propagate = before
