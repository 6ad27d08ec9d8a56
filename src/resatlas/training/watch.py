"""Silence of a process is noticed by the others: told after a while, and the end of all of them at the limit.

Collectives block in C++, where no signal handler of Python runs. So a thread of each process writes into the store
where the processes met how far its main thread is, and reads the same of the others; a second thread judges. What
counts are exchanges and batches of the main thread, since a thread of its own also lives in a process that is stuck.
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
from pathlib import Path
from typing import Literal, NoReturn, Protocol

from resatlas.errors import ProcessLost, Stopped
from resatlas.runs.environment import launched, shutdown_grace
from resatlas.training.signals import StopRequest
from resatlas.values.pulse import PULSE

RANK_TIMEOUT = 600.0
"""Seconds without an answer after which all processes end, unless --rank-timeout gives others."""

TOLD_AFTER = 60.0
"""Seconds without an answer after which that is told, and told again; a tenth of the limit where that is less."""

INTERVAL = 1.0
"""Seconds between two looks."""

FIRST_INTERVAL = 0.1
"""Seconds between two looks while a process is not known yet: one that is silent soon after the start has a name."""

MISSED = 5.0
"""Seconds after which a process that has written nothing does not count as one that waits."""

LOST = 76
"""Exit code by which a process tells our launcher that all ended at the limit, so that none is started again."""

LAUNCHER = -1
"""In the place of a rank, where it is the launcher's store that does not answer."""

INTACT = "saved checkpoints are intact; continue a training with --resume auto"

OnEnd = Callable[[Literal["stopped", "failed"], str], None]


class Store(Protocol):
    """What is needed of the store where the processes met."""

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
    """What a process writes about itself; `number` grows with each report."""

    number: int
    exchanges: int
    batches: int
    waiting: bool
    pid: int
    host: str
    identity: str

    @property
    def at(self) -> tuple[int, int, bool]:
        """Where its main thread is."""
        return self.exchanges, self.batches, self.waiting


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The last report of a process, when it came, and since when its main thread has been where it is."""

    report: Report | None
    seen: float
    since: float

    def after(self, report: Report, now: float) -> "Heard":
        """The same after another report."""
        if self.report and report.number == self.report.number:
            return self
        moved = not self.report or report.at != self.report.at
        return Heard(report=report, seen=now, since=now if moved else self.since)

    @property
    def waits(self) -> bool:
        """Whether it waited in an exchange when it last reported."""
        return self.report is not None and self.report.waiting

    def stale(self, now: float, missed: float = MISSED) -> bool:
        """Whether its reports have stopped."""
        return now - self.seen > missed


def silences(heard: Mapping[int, Heard], now: float, *, missed: float = MISSED) -> dict[int, float]:
    """Seconds for which others have waited for a process that does not answer, by its rank.

    A process that waits in an exchange and reports is not silent. Silent are those whose reports have stopped, and
    those that have not reached the exchange in which another waits; time counts from when the first began to wait.
    """
    waiting = {rank: each for rank, each in heard.items() if each.waits and not each.stale(now, missed)}
    if not waiting:
        return {}
    begun = min(each.since for each in waiting.values())
    last = {
        rank: each.seen if each.waits or not each.report else each.since
        for rank, each in heard.items()
        if rank not in waiting
    }
    return {rank: now - max(moment, begun) for rank, moment in last.items()}


def unheeded(_status: str, _reason: str) -> None:
    """No-op."""


class Watch:
    """The two threads of one process. `hosted` is the rank in whose process the store is, if it is in one of them."""

    def __init__(
        self, store: Store, *, rank: int, size: int, timeout: float, hosted: int | None, on_note: Callable[[str], None]
    ) -> None:
        self.timeout = timeout
        self.ending = False
        self._store, self._rank, self._size, self._hosted, self._on_note = store, rank, size, hosted, on_note
        self._heard = {each: Heard(report=None, seen=0.0, since=0.0) for each in range(size)}
        self._clock = 0.0
        self._place, self._since = (0, 0, False), 0.0
        self._told = 0.0
        self._asked: float | None = None
        self._request: StopRequest | None = None
        self._on_end: OnEnd = unheeded
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._correspond, self._judge)]

    @property
    def tells(self) -> float:
        """Seconds without an answer after which that is told."""
        return min(TOLD_AFTER, self.timeout / 10)

    def start(self) -> None:
        """Begin to look."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Look no more; where this process is about to end, wait for that."""
        self._over.set()
        with self._lock:
            if self.ending:
                threading.Event().wait()
        for thread in self._threads:
            thread.join(2 * INTERVAL)  # one that waits for a store that is gone ends with the process

    @contextmanager
    def heeding(self, request: StopRequest, on_end: OnEnd) -> Iterator[None]:
        """Meanwhile a stop that is asked for counts, and `on_end` is called before the processes end here."""
        with self._lock:
            self._request, self._on_end, self._asked = request, on_end, None
        try:
            yield
        finally:
            with self._lock:
                self._request, self._on_end = None, unheeded

    def reason(self) -> str | None:
        """Who has been silent for the limit, in words, or None."""
        silent = self._silent()
        return self._sentence(silent) if max(silent.values(), default=0.0) >= 0.8 * self.timeout else None

    def _correspond(self) -> None:
        """Write about this process and read about the others; a store that is gone or stands still ends that."""
        own = {"pid": os.getpid(), "host": socket.gethostname(), "identity": identity(os.getpid())}
        others: set[int] = set()
        number = 0
        with suppress(Exception):  # of torch, of a store that is gone: the judge finds that nothing comes
            while not self._over.wait(min(self._pause(len(others), number), self.tells / 4)):
                number += 1
                report = Report(
                    number=number, exchanges=PULSE.exchanges, batches=PULSE.batches, waiting=PULSE.waiting, **own
                )
                self._store.set(f"report {self._rank}", json.dumps(asdict(report)))
                others |= {rank for rank in range(self._size) if rank not in others and self._store.check([_key(rank)])}
                known = sorted(others)
                reports = [Report(**json.loads(each)) for each in self._store.multi_get([_key(rank) for rank in known])]
                now = self._clock
                for rank, each in zip(known, reports, strict=True):
                    self._heard[rank] = self._heard[rank].after(each, now)

    def _pause(self, known: int, reports: int) -> float:
        """Seconds before the next report: none before the first."""
        if not reports:
            return 0.0
        return INTERVAL if known == self._size else FIRST_INTERVAL

    def _judge(self) -> None:
        last = time.monotonic()
        while not self._over.wait(min(INTERVAL, self.tells / 4)):
            now = time.monotonic()
            self._clock += min(now - last, 3 * INTERVAL)  # a machine that slept is not a silent process
            last = now
            with self._lock:
                if not self._over.is_set():
                    self._look()

    def _look(self) -> None:
        """Tell of who is silent, and end this process at the limit."""
        place = (PULSE.exchanges, PULSE.batches, PULSE.waiting)
        if place != self._place:
            self._place, self._since = place, self._clock
        silent = self._silent()
        seconds = max(silent.values(), default=0.0)
        asked = self._request.heard() if self._request else None
        if asked and self._asked is None:
            self._asked = self._clock
        grace = shutdown_grace()
        limit = self.timeout if asked is None else min(self.timeout, self.tells, grace / 2)
        if seconds >= limit:
            self._end(self._sentence(silent), silent, asked.name if asked else None)
        if asked and self._asked is not None and self._clock - self._asked > 0.8 * grace:
            self._end(f"the step in progress did not end within {0.8 * grace:.0f} s", silent, asked.name)
        if seconds < self.tells:
            self._told = 0.0
        elif seconds >= self._told + self.tells:
            self._told = seconds
            if self._speaks(silent):
                note = f"{self._sentence(silent)}; all processes end at {self.timeout:g} s (--rank-timeout)"
                if self._rank == 0:
                    self._on_note(note)
                else:
                    say(note)

    def _silent(self) -> dict[int, float]:
        now, heard = self._clock, dict(self._heard)
        missed = min(MISSED, self.timeout / 2)
        if not heard[self._rank].stale(now, missed):
            return silences(heard, now, missed=missed)
        if not PULSE.waiting:  # the store stands still, but nobody does
            return {}
        return {LAUNCHER if self._hosted is None else self._hosted: now - max(heard[self._rank].seen, self._since)}

    def _speaks(self, silent: Mapping[int, float]) -> bool:
        """Whether this is the first of the processes that are not silent."""
        return self._rank == min((rank for rank in range(self._size) if rank not in silent), default=0)

    def _sentence(self, silent: Mapping[int, float]) -> str:
        worst = sorted(silent.items(), key=lambda item: -item[1])
        several = [f"{self._name(rank)} has not answered for {seconds:.0f} s" for rank, seconds in worst]
        more = f" (and {len(several) - 3} more)" if len(several) > 3 else ""
        return ", ".join(several[:3]) + more

    def _name(self, rank: int) -> str:
        if rank == LAUNCHER:
            return "the launcher, whose store does not respond,"
        report = self._heard[rank].report
        where = f"rank {rank}, pid {report.pid} on {report.host}" if report else f"rank {rank}, not started yet"
        return f"process {rank + 1} of {self._size} ({where})"

    def _end(self, reason: str, silent: Mapping[int, float], signal: str | None) -> NoReturn:
        """End this process, whose main thread waits in C++ for a process that does not answer."""
        self.ending = True
        lost = ProcessLost.exit_code if not launched() else LOST
        if self._speaks(silent):
            reason = f"by {signal}; {reason}, so this step is not saved" if signal else reason
            with suppress(Exception):  # whatever keeps the status from being written, the end comes
                self._on_end("stopped" if signal else "failed", f"{reason}; {INTACT}")
            say(f"{'Stopped' if signal else 'ProcessLost'}: {reason}; {INTACT}")
            if signal:
                self._kill(silent)
        else:  # the others would take this end for a loss
            time.sleep(3 * INTERVAL)
        leave(Stopped.exit_code if signal else lost)

    def _kill(self, silent: Mapping[int, float]) -> None:
        """End the silent ones of this machine, which do not react to other signals."""
        for rank in silent:
            report = self._heard[rank].report if rank >= 0 else None
            if report and report.identity and report.identity == identity(report.pid):
                with suppress(OSError):
                    os.kill(report.pid, 9)


def _key(rank: int) -> str:
    return f"report {rank}"


def say(text: str) -> None:
    """Write a line to standard error, if anybody can read it."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def identity(pid: int) -> str:
    """What no other process of this or another machine has: its boot, namespace, number and start; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path(f"/proc/{pid}/ns/pid").readlink()
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{boot} {space} {pid} {started}"


def leave(code: int) -> NoReturn:
    """End one of several processes at once, without what Python does at an end: a thread of torch may still need it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for child in active_children():
        child.terminate()
    os._exit(code)
