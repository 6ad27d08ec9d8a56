"""Tables as wide as the terminal, and progress on standard error.

Progress is permanent lines and, on a terminal, one line below them that is redrawn.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from resatlas.values.progress import Progress
from resatlas.values.table import Table
from resatlas.values.terminal import aligned
from resatlas.values.text import plain

SILENCE_SECONDS = 30
"""Seconds between two lines of progress where there is no terminal."""

REDRAWS_PER_SECOND, BAR = 8, 20

ERASE = "\r\x1b[K"
"""Moves to the start of the line and clears it. Source: ECMA-48, CR and EL."""

_live_line: list[str] = []
"""The line that is redrawn, if there is one."""


class Display(Protocol):
    """A place where progress is shown."""

    def note(self, text: str) -> None:
        """Write a permanent line."""

    def show(self, text: str, share: float) -> None:
        """Show the progress; `share` is the share of the work that is done."""


class Clock:
    """An estimate of the time left, from the steps since the start or the resume."""

    def __init__(self, done: int, total: int) -> None:
        self._from, self._total, self._started = done, total, time.monotonic()

    def seconds_left(self, done: int) -> float:
        """Seconds for the remaining steps at the average speed so far."""
        return (time.monotonic() - self._started) / max(done - self._from, 1) * (self._total - done)


@contextmanager
def display(*, quiet: bool) -> Iterator[Display]:
    """A display with a live line on a terminal, with plain lines elsewhere, and without output if quiet."""
    if quiet:
        yield _Nothing()
    elif not on_terminal():
        yield _Lines()
    else:
        _live_line[:] = [""]
        try:
            yield _Live()
        finally:
            _live_line.clear()
            _write(ERASE)


@contextmanager
def meter(unit: str, *, quiet: bool) -> Iterator[Progress]:
    """A progress reporter that shows how many units are done and the time left."""
    clocks: dict[str, Clock] = {}
    with display(quiet=quiet) as screen:

        def report(task: str, done: int, total: int) -> None:
            left = clocks.setdefault(task, Clock(done, total)).seconds_left(done)
            screen.show(f"{task} {unit} {done:,} of {total:,} seconds_left {left:.0f}", done / max(total, 1))

        yield report


def on_terminal() -> bool:
    """Whether standard error is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "CI" not in os.environ


def line_width() -> int | None:
    """The width of the terminal at standard output; None, which folds no line, if there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitted(table: Table) -> str:
    """The table, folded to the width of the terminal; in a pipe or a file, a line per row."""
    return aligned(table, width=line_width())


def say(text: str) -> None:
    """Write a line to standard error, above the live line."""
    _write(f"{ERASE}{plain(text)}\n{_live_line[-1]}" if _live_line else f"{plain(text)}\n")


def _write(text: str) -> None:
    with suppress(OSError):  # a full disk or a closed pipe must not end the work
        sys.stderr.write(text)
        sys.stderr.flush()


class _Nothing:
    def note(self, text: str) -> None:
        pass

    def show(self, text: str, share: float) -> None:
        pass


class _Lines:
    """A line whenever `SILENCE_SECONDS` have passed without one, and a last line if the work had such a line."""

    def __init__(self) -> None:
        self._last, self._unfinished = time.monotonic(), False

    def note(self, text: str) -> None:
        say(text)
        self._last, self._unfinished = time.monotonic(), False

    def show(self, text: str, share: float) -> None:
        if time.monotonic() - self._last > SILENCE_SECONDS or (share >= 1 and self._unfinished):
            say(text)
            self._last, self._unfinished = time.monotonic(), share < 1


class _Live:
    """A progress bar and a text, cut to the width of the terminal."""

    def __init__(self) -> None:
        self._drawn = 0.0

    def note(self, text: str) -> None:
        say(text)

    def show(self, text: str, share: float) -> None:
        bar = "#" * round(BAR * min(share, 1))
        _live_line[:] = [plain(f"{bar:.<{BAR}} {text}")[: _columns() - 1]]
        if time.monotonic() - self._drawn > 1 / REDRAWS_PER_SECOND:
            self._drawn = time.monotonic()
            _write(ERASE + _live_line[-1])


def _columns() -> int:
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return 80
