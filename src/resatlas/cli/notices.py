"""What readers of files have to say beside their result: a line each on standard error, once a command."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from resatlas.values.notes import forget
from resatlas.values.text import plain


class _Lines(logging.Handler):
    """Messages as lines that no name steers."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        print(plain(" ".join(record.getMessage().split())), file=sys.stderr)


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
