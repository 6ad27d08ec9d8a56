"""Stop on a signal: the loop ends after its next step and saves."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from resatlas.errors import ProcessLost, ResatlasError
from resatlas.runs.environment import under_torchrun

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Sent by Ctrl-C, by kill, by a closed terminal, and by a scheduler before its time limit."""


Handler = Callable[[int, FrameType | None], object] | int | None
"""What `signal.getsignal` returns."""


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


@dataclass(kw_only=True, eq=False)
class _Listening:
    """What was set before a context that notes signals: the handlers, and where the system writes their numbers."""

    before: dict[signal.Signals, Handler]
    awakened: int


_listening: list[_Listening] = []
"""The contexts at present, the newest last."""


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Note the first signal; a second SIGINT aborts at once. Outside the main thread no signal is noted.

    Of several contexts the newest notes. They may end in any order, as one inside a generator does that is collected
    late: the handlers of the others stay. After an error that is not known to be one of all processes alike, a process
    of torchrun ignores SIGTERM: torchrun, which sends it as soon as another process is lost, waits before it kills, and
    the line about the loss must be written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    arrivals, arriving = os.pipe()
    for end in (arrivals, arriving):
        os.set_blocking(end, False)
    request = StopRequest(arrivals)

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    own = _Listening(
        before={number: signal.getsignal(number) for number in stopping_signals()},
        awakened=signal.set_wakeup_fd(arriving, warn_on_full_buffer=False),
    )
    _listening.append(own)
    for number in own.before:
        signal.signal(number, note)
    try:
        yield request
    except Exception as error:
        if under_torchrun() and (isinstance(error, ProcessLost) or not isinstance(error, ResatlasError)):
            own.before[signal.SIGTERM] = signal.SIG_IGN
        raise
    finally:
        _end(own)
        os.close(arrivals)
        os.close(arriving)


def _end(own: _Listening) -> None:
    """Set what was set before a context; if a newer one is there, that will do so when it ends."""
    place = _listening.index(own)
    _listening.remove(own)
    if place < len(_listening):
        newer = _listening[place]
        newer.before, newer.awakened = own.before, own.awakened
        return
    for number, handler in own.before.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(own.awakened)


def stopping_signals() -> list[signal.Signals]:
    """The signals that request a stop; without SIGHUP if nohup has set this process to ignore it."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOPPING if not (ignored and number == signal.SIGHUP)]
