"""Progress on standard error: lines that stay, and on a terminal one line below them that is redrawn."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from resatlas.values.progress import Progress
from resatlas.values.text import plain

SILENCE_SECONDS = 30
"""Seconds after which a line of progress is written where there is no terminal."""

REDRAWS_PER_SECOND, BAR = 8, 20

ERASE = "\r\x1b[K"
"""Back to the begin of the line, and clear it. Source: ECMA-48, CR and EL."""

_below: list[str] = []
"""The line that is redrawn, if there is one."""


class Display(Protocol):
    """Where progress is shown."""

    def note(self, text: str) -> None:
        """Write a line that stays."""

    def show(self, text: str, share: float) -> None:
        """Show how far the work is; `share` is the part of it that is done."""


class Clock:
    """Time left, from the steps since the start or the resume."""

    def __init__(self, done: int, total: int) -> None:
        self._from, self._total, self._started = done, total, time.monotonic()

    def seconds_left(self, done: int) -> float:
        """Seconds that the remaining steps take at the pace so far."""
        return (time.monotonic() - self._started) / max(done - self._from, 1) * (self._total - done)


@contextmanager
def display(*, quiet: bool) -> Iterator[Display]:
    """A live line on a terminal, plain lines everywhere else, nothing if quiet."""
    if quiet:
        yield _Nothing()
    elif not on_terminal():
        yield _Lines()
    else:
        _below[:] = [""]
        try:
            yield _Live()
        finally:
            _below.clear()
            _write(ERASE)


@contextmanager
def meter(unit: str, *, quiet: bool) -> Iterator[Progress]:
    """A reporter of how many units are done and what time is left."""
    clocks: dict[str, Clock] = {}
    with display(quiet=quiet) as shown:

        def count(what: str, done: int, total: int) -> None:
            left = clocks.setdefault(what, Clock(done, total)).seconds_left(done)
            shown.show(f"{what} {unit} {done:,} of {total:,} seconds_left {left:.0f}", done / max(total, 1))

        yield count


def on_terminal() -> bool:
    """Whether standard error is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "CI" not in os.environ


def say(text: str) -> None:
    """Write a line to standard error, above the live one; work does not end because its log is full or unread."""
    _write(f"{ERASE}{plain(text)}\n{_below[-1]}" if _below else f"{plain(text)}\n")


def _write(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


class _Nothing:
    def note(self, text: str) -> None:
        pass

    def show(self, text: str, share: float) -> None:
        pass


class _Lines:
    """A line after a silence, and one at the end of work of which there was such a line."""

    def __init__(self) -> None:
        self._last, self._begun = time.monotonic(), False

    def note(self, text: str) -> None:
        say(text)
        self._last, self._begun = time.monotonic(), False

    def show(self, text: str, share: float) -> None:
        if time.monotonic() - self._last > SILENCE_SECONDS or (share >= 1 and self._begun):
            say(text)
            self._last, self._begun = time.monotonic(), share < 1


class _Live:
    """A bar and a text in a line that is never longer than the terminal is wide."""

    def __init__(self) -> None:
        self._drawn = 0.0

    def note(self, text: str) -> None:
        say(text)

    def show(self, text: str, share: float) -> None:
        bar = "#" * round(BAR * min(share, 1))
        _below[:] = [plain(f"{bar:.<{BAR}} {text}")[: _columns() - 1]]
        if time.monotonic() - self._drawn > 1 / REDRAWS_PER_SECOND:
            self._drawn = time.monotonic()
            _write(ERASE + _below[-1])


def _columns() -> int:
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return 80
