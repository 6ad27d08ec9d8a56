"""How something that is counted shows itself: one live line on a terminal, plain lines everywhere else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resatlas.cli.progress import SILENCE_SECONDS, Clock, on_terminal, say

Meter = Callable[[str, int, int], None]
"""Told what is under way, how much of it is done, and how much there is."""


@contextmanager
def meter(unit: str, *, quiet: bool) -> Iterator[Meter]:
    """Someone who writes to standard error how many units are done and what time is left, or nobody."""
    if quiet:
        yield lambda what, done, total: None  # noqa: ARG005 - nobody listens
    elif on_terminal():
        with _live(unit) as live:
            yield live
    else:
        yield _plain(unit)


def _plain(unit: str) -> Meter:
    """A line after a silence, and one at the end of what a line was about; nothing where all is soon done."""
    clocks: dict[str, Clock] = {}
    last = [time.monotonic()]
    begun: set[str] = set()

    def line(what: str, done: int, total: int) -> None:
        clock = clocks.setdefault(what, Clock(done, total))
        if time.monotonic() - last[0] > SILENCE_SECONDS or (done == total and what in begun):
            last[0] = time.monotonic()
            begun.add(what)
            say(f"{what} {unit} {done} of {total} seconds_left {clock.seconds_left(done):.0f}")

    return line


@contextmanager
def _live(unit: str) -> Iterator[Meter]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    words = TextColumn("{task.description}", markup=False)
    count = TextColumn("{task.completed:,} of {task.total:,} " + unit)
    columns = (words, BarColumn(bar_width=20), count, TimeRemainingColumn(compact=True))
    tasks: dict[str, TaskID] = {}
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as progress:

        def bar(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield bar
