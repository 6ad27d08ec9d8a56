"""Stop on a signal: the loop ends after its next step and saves."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Sent by Ctrl-C, by kill, by a closed terminal, and by a scheduler before its time limit."""


class StopRequest:
    """The signal that requested a stop, or None.

    `arrivals` is the reading end of a pipe into which the system writes the number of each signal at once, also while
    the main thread waits in C++, where no handler of Python runs.
    """

    def __init__(self, arrivals: int | None = None) -> None:
        self.signal: signal.Signals | None = None
        self._arrivals = arrivals
        self._received: signal.Signals | None = None

    def received(self) -> signal.Signals | None:
        """The signal that requested a stop; other threads than the main one may call it."""
        if self._received is None and self._arrivals is not None:
            with suppress(BlockingIOError):
                numbers = os.read(self._arrivals, 256)
                self._received = next((number for number in stopping_signals() if number in numbers), None)
        return self.signal or self._received


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Note the first signal; a second SIGINT aborts at once. Outside the main thread no signal is noted."""
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    arrivals, arriving = os.pipe()
    for end in (arrivals, arriving):
        os.set_blocking(end, False)
    awakened = signal.set_wakeup_fd(arriving, warn_on_full_buffer=False)
    request = StopRequest(arrivals)
    before = {number: signal.getsignal(number) for number in stopping_signals()}

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(awakened)
        os.close(arrivals)
        os.close(arriving)


def stopping_signals() -> list[signal.Signals]:
    """The signals that request a stop; without SIGHUP if nohup has set this process to ignore it."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOPPING if not (ignored and number == signal.SIGHUP)]
