"""Notes beside a result, each once per command, written by the package's logger."""

import logging

_LOG = logging.getLogger("resatlas")
_TOPICS: set[str] = set()


def once(topic: str, text: str) -> None:
    """Log a line, unless this command has logged one of the same topic."""
    if topic not in _TOPICS:
        _TOPICS.add(topic)
        _LOG.warning("%s", text)


def forget() -> None:
    """Start a new command, which may log every topic again."""
    _TOPICS.clear()
