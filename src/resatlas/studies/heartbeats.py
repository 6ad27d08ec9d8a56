"""Signs of life of what a cluster carries out, as the process that watches it sees them: files that are touched.

A process touches its signature at the run that it trains (`runs.lock`), a task of Ray the output of its share. So the
watcher notices whatever hangs, a process or its node, on any engine and before the engine does.
"""

import time
from collections.abc import Mapping

from resatlas.values.text import counted

_MOST_GAP = 10.0
"""Seconds that count between two looks: the watcher itself may have been paused."""

_MOST_NAMES = 3


class Heartbeats:
    """When each of several things was touched last, by the clock of this process.

    `warn_after` is the number of seconds without a touch after which `note` names a thing, and again after twice,
    four times … as long.
    """

    def __init__(self, *, warn_after: float) -> None:
        self._warn_after = warn_after
        self._clock, self._looked = 0.0, time.monotonic()
        self._stamps: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._next: dict[str, float] = {}

    def look(self, stamps: Mapping[str, float]) -> None:
        """Take the stamps of all things that should live now, by their names; others are forgotten."""
        now = time.monotonic()
        self._clock += min(now - self._looked, _MOST_GAP)
        self._looked = now
        for name, stamp in stamps.items():
            if self._stamps.get(name) != stamp:
                self._since[name], self._next[name] = self._clock, self._warn_after
        self._stamps = dict(stamps)

    def silence(self, name: str) -> float:
        """Seconds since the last touch of a thing; 0 for one that is not known."""
        return self._clock - self._since[name] if name in self._stamps else 0.0

    def note(self) -> str:
        """A sentence part about all silent things, if one of them has been so for long enough to say it, else ""."""
        silent = {name: self.silence(name) for name in self._stamps if self.silence(name) >= self._warn_after}
        due = [name for name, seconds in silent.items() if seconds >= self._next[name]]
        if not due:
            return ""
        for name in due:
            self._next[name] = 2 * max(self._next[name], silent[name] / 2)
        more = f" and {counted(len(silent) - _MOST_NAMES, 'other')}" if len(silent) > _MOST_NAMES else ""
        return f"no sign of life for {max(silent.values()):.0f} s from {', '.join([*silent][:_MOST_NAMES])}{more}"
