"""What readers of files have to say beside their result: a line each on standard error, once a command."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from resatlas.cli.display import say
from resatlas.values.notes import forget


class _Lines(logging.Handler):
    """Messages as lines that no name steers."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        say(" ".join(record.getMessage().split()))


@contextmanager
def notices(*, quiet: bool) -> Iterator[None]:
    """Let the package's messages be shown while a verb is carried out, unless it is quiet."""
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
