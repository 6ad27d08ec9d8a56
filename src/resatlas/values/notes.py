"""What is said beside a result, each thing once a command, by the package's logger."""

import logging

_LOG = logging.getLogger("resatlas")
_SAID: set[str] = set()


def once(topic: str, text: str) -> None:
    """Say a line, unless one of the same topic was said before in this command."""
    if topic not in _SAID:
        _SAID.add(topic)
        _LOG.warning("%s", text)


def forget() -> None:
    """Begin a new command, in which everything may be said again."""
    _SAID.clear()
