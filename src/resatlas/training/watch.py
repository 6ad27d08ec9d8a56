"""Detect processes that do not answer: a note after some time, and the end of all processes at the limit.

Collectives block in C++, where no signal handler of Python runs. So one thread of each process writes the progress of
its main thread into the store of the process group and reads that of the others; a second thread compares them.
Progress is counted in exchanges and batches of the main thread, since other threads also run in a process that hangs.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing import active_children
from typing import Literal, NoReturn, Protocol

from resatlas.errors import ProcessLost, Stopped
from resatlas.runs.environment import launched, local_processes, local_rank, restarts, restarts_left, shutdown_grace
from resatlas.training.signals import StopRequest
from resatlas.values.machine import identity
from resatlas.values.pulse import PULSE
from resatlas.values.text import counted

RANK_TIMEOUT = 600.0
"""Seconds without an answer after which all processes end, by default of --rank-timeout."""

NOTE_AFTER = 60.0
"""Seconds without an answer between notes about it; a tenth of the limit if that is less."""

_INTERVAL = 1.0
"""Seconds between two checks."""

_FIRST_INTERVAL = 0.1
"""Seconds between two checks until all processes are known, so that one that hangs early can be named."""

_MISSED = 5.0
"""Seconds without a report after which a process no longer counts as waiting."""

LOST = 76
"""Exit code that note_after our launcher that all processes ended at the limit, so that it starts none again."""

_LAUNCHER = -1
"""Stands for the launcher in place of a rank, if its store does not answer."""

_INTACT = "saved checkpoints are intact"

MEETING = 120.0
"""Seconds for which processes that torchrun has started again wait for each other; --rank-timeout if that is less."""

OnEnd = Callable[[Literal["stopped", "failed"], str], None]


def afterwards() -> str:
    """The last words about a lost process: what is saved, and how the training continues."""
    if left := restarts_left():
        again = f"torchrun starts all again ({counted(left, 'restart')} left) if the other nodes answer"
        return f"{_INTACT}; {again}; otherwise continue with --resume auto"
    return f"{_INTACT}; continue a training with --resume auto"


class Store(Protocol):
    """The methods of the store of the process group that are used here."""

    def set(self, key: str, value: str, /) -> None:
        """Write a value."""

    def check(self, keys: list[str], /) -> bool:
        """Whether all keys are there."""
        ...

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        """Their values."""
        ...


@dataclass(frozen=True, kw_only=True)
class Report:
    """The progress of a process as it writes it; `number` grows with each report."""

    number: int
    exchanges: int
    batches: int
    waiting: bool
    pid: int
    host: str
    identity: str

    @property
    def at(self) -> tuple[int, int, bool]:
        """The position of its main thread."""
        return self.exchanges, self.batches, self.waiting


@dataclass(frozen=True, kw_only=True)
class LastReport:
    """The last report of a process, its time, and since when its main thread has not advanced."""

    report: Report | None
    seen: float
    since: float

    def after(self, report: Report, now: float) -> "LastReport":
        """The value after another report."""
        if self.report and report.number == self.report.number:
            return self
        moved = not self.report or report.at != self.report.at
        return LastReport(report=report, seen=now, since=now if moved else self.since)

    @property
    def waits(self) -> bool:
        """Whether it waited in an exchange when it last reported."""
        return self.report is not None and self.report.waiting

    def stale(self, now: float, missed: float = _MISSED) -> bool:
        """Whether its reports have stopped."""
        return now - self.seen > missed


def silences(last_reports: Mapping[int, LastReport], now: float, *, missed: float = _MISSED) -> dict[int, float]:
    """Seconds for which others have waited for a process that does not answer, by its rank.

    A process is silent if its reports have stopped, or if it has not reached the exchange in which another waits. A
    process that reports and waits in an exchange is not silent. Time counts from when the first began to wait.
    """
    waiting = {rank: last for rank, last in last_reports.items() if last.waits and not last.stale(now, missed)}
    if not waiting:
        return {}
    begun = min(last.since for last in waiting.values())
    last = {
        rank: last.seen if last.waits or not last.report else last.since
        for rank, last in last_reports.items()
        if rank not in waiting
    }
    return {rank: now - max(moment, begun) for rank, moment in last.items()}


def _ignore_end(_status: str, _reason: str) -> None:
    """No-op."""


class Watch:
    """The two threads of one process. `hosted` is the rank of the process that holds the store, if one of them does."""

    def __init__(
        self, store: Store, *, rank: int, size: int, timeout: float, hosted: int | None, on_note: Callable[[str], None]
    ) -> None:
        self.timeout, self.limit = timeout, "--rank-timeout"
        self.ending = False
        self._store, self._rank, self._size, self._hosted, self._on_note = store, rank, size, hosted, on_note
        self._heard = {rank: LastReport(report=None, seen=0.0, since=0.0) for rank in range(size)}
        self._clock = 0.0
        self._place, self._since = (0, 0, False), 0.0
        self._noted = 0.0
        self._stopping_since: float | None = None
        self._request: StopRequest | None = None
        self._on_end: OnEnd = _ignore_end
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._correspond, self._judge)]

    @property
    def note_after(self) -> float:
        """Seconds without an answer before the first note."""
        return min(NOTE_AFTER, self.timeout / 10)

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads; if this process is about to end, wait for that."""
        self._over.set()
        with self._lock:
            if self.ending:
                threading.Event().wait()
        for thread in self._threads:
            thread.join(2 * _INTERVAL)  # a thread that waits for a lost store ends with the process

    @contextmanager
    def stopping_on(self, request: StopRequest, on_end: OnEnd) -> Iterator[None]:
        """Within the context, react to a stop request, and call `on_end` before this process is ended."""
        with self._lock:
            self._request, self._on_end, self._stopping_since = request, on_end, None
        try:
            yield
        finally:
            with self._lock:
                self._request, self._on_end = None, _ignore_end

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """Within the context, the shorter limit of processes that torchrun has started again, which wait for others."""
        timeout, limit = self.timeout, self.limit
        if restarts() and timeout > MEETING:
            self.timeout, self.limit = MEETING, "after a restart"
        try:
            yield
        finally:
            self.timeout, self.limit = timeout, limit

    def reason(self) -> str | None:
        """A sentence about the processes that have been silent for the limit, or None."""
        silent = self._silent()
        return self._sentence(silent) if max(silent.values(), default=0.0) >= 0.8 * self.timeout else None

    def _correspond(self) -> None:
        """Write reports of this process and read those of the others, until the store is lost or stands still."""
        own = {"pid": os.getpid(), "host": socket.gethostname(), "identity": identity(os.getpid())}
        others: set[int] = set()
        number = 0
        with suppress(Exception):  # torch's errors about a lost store: `_judge` notices that reports are missing
            while not self._over.wait(min(self._pause(len(others), number), self.note_after / 4)):
                number += 1
                report = Report(
                    number=number, exchanges=PULSE.exchanges, batches=PULSE.batches, waiting=PULSE.waiting, **own
                )
                self._store.set(f"report {self._rank}", json.dumps(asdict(report)))
                others |= {rank for rank in range(self._size) if rank not in others and self._store.check([_key(rank)])}
                known = sorted(others)
                reports = [Report(**json.loads(text)) for text in self._store.multi_get([_key(rank) for rank in known])]
                now = self._clock
                for rank, report in zip(known, reports, strict=True):
                    self._heard[rank] = self._heard[rank].after(report, now)

    def _pause(self, known: int, reports: int) -> float:
        """Seconds before the next report; 0 before the first."""
        if not reports:
            return 0.0
        return _INTERVAL if known == self._size else _FIRST_INTERVAL

    def _judge(self) -> None:
        last = time.monotonic()
        while not self._over.wait(min(_INTERVAL, self.note_after / 4)):
            now = time.monotonic()
            self._clock += min(now - last, 3 * _INTERVAL)  # a machine that slept is not a silent process
            last = now
            with self._lock:
                if not self._over.is_set():
                    self._look()

    def _look(self) -> None:
        """Report silent processes, and end this process at the limit."""
        place = (PULSE.exchanges, PULSE.batches, PULSE.waiting)
        if place != self._place:
            self._place, self._since = place, self._clock
        silent = self._silent()
        seconds = max(silent.values(), default=0.0)
        stopping = self._request.received() if self._request else None
        if stopping and self._stopping_since is None:
            self._stopping_since = self._clock
        grace = shutdown_grace()
        limit = self.timeout if stopping is None else min(self.timeout, self.note_after, grace / 2)
        if seconds >= limit:
            self._end(self._sentence(silent), silent, stopping.name if stopping else None)
        if stopping and self._stopping_since is not None and self._clock - self._stopping_since > 0.8 * grace:
            self._end(f"the step in progress did not end within {0.8 * grace:.0f} s", silent, stopping.name)
        if seconds < self.note_after:
            self._noted = 0.0
        elif seconds >= self._noted + self.note_after:
            self._noted = seconds
            if self._first(silent):
                note = f"{self._sentence(silent)}; all processes end at {self.timeout:g} s ({self.limit})"
                if self._rank == 0:
                    self._on_note(note)
                else:
                    say(note)

    def _silent(self) -> dict[int, float]:
        now, last_reports = self._clock, dict(self._heard)
        missed = min(_MISSED, self.timeout / 2)
        if not last_reports[self._rank].stale(now, missed):
            return silences(last_reports, now, missed=missed)
        if not PULSE.waiting:  # the store stands still, but this process advances
            return {}
        return {
            _LAUNCHER if self._hosted is None else self._hosted: now - max(last_reports[self._rank].seen, self._since)
        }

    def _first(self, silent: Mapping[int, float], *, of: range | None = None) -> bool:
        """Whether this is the first of the processes that are not silent: of all, or of some."""
        return self._rank == min((rank for rank in of or range(self._size) if rank not in silent), default=0)

    @property
    def _node(self) -> range:
        """The ranks of this machine: torchrun counts them one machine after another."""
        begin = self._rank - local_rank()
        return range(begin, min(begin + local_processes(), self._size))

    def _sentence(self, silent: Mapping[int, float]) -> str:
        worst = sorted(silent.items(), key=lambda item: -item[1])
        several = [f"{self._name(rank)} has not answered for {seconds:.0f} s" for rank, seconds in worst]
        more = f" (and {len(several) - 3} more)" if len(several) > 3 else ""
        return ", ".join(several[:3]) + more

    def _name(self, rank: int) -> str:
        if rank == _LAUNCHER:
            return "the launcher, whose store does not respond,"
        report = self._heard[rank].report
        where = f"rank {rank}, pid {report.pid} on {report.host}" if report else f"rank {rank}, not started yet"
        return f"process {rank + 1} of {self._size} ({where})"

    def _end(self, reason: str, silent: Mapping[int, float], signal: str | None) -> NoReturn:
        """End this process; its main thread waits in C++ for a process that does not answer."""
        self.ending = True
        lost = ProcessLost.exit_code if not launched() else LOST
        reason = f"by {signal}; {reason}, so this step is not saved" if signal else reason
        first = self._first(silent)
        if first or self._first(silent, of=self._node):  # a line on each machine, which may have a screen of its own
            say(f"{'Stopped' if signal else 'ProcessLost'}: {reason}; {afterwards()}")
        if first:
            with suppress(Exception):  # the process must end even if the status cannot be written
                self._on_end("stopped" if signal else "failed", f"{reason}; {afterwards()}")
            if signal:
                self._kill(silent)
        else:  # wait, since the others would report the end of this process as a loss
            time.sleep(3 * _INTERVAL)
        leave(Stopped.exit_code if signal else lost)

    def _kill(self, silent: Mapping[int, float]) -> None:
        """Kill the silent processes of this machine, which do not react to other signals."""
        for rank in silent:
            report = self._heard[rank].report if rank >= 0 else None
            if report and report.identity and report.identity == identity(report.pid):
                with suppress(OSError):
                    os.kill(report.pid, 9)


def _key(rank: int) -> str:
    return f"report {rank}"


def say(text: str) -> None:
    """Write a line to standard error; ignore a closed stream."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def leave(code: int) -> NoReturn:
    """End one of several processes at once, without Python's clean-up, which threads of torch may still need."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for child in active_children():
        child.terminate()
    os._exit(code)
