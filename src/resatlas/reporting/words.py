"""Words of a user, made fit for a page or a screen."""

import re
from collections.abc import Iterable

_FOLDERS = re.compile(r"(?:^|(?<=[=:,]))(?:[A-Za-z]:)?[/\\](?:[^/\\]*[/\\])*")


def presentable(word: str) -> str:
    """The word with an absolute path cut to ".../" and its last name, and "?" for what would steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in _FOLDERS.sub(".../", word))


def listed(words: Iterable[str]) -> str:
    """One or more words as "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
