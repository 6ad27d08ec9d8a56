"""Silent processes are detected from the reports of all processes."""

import os
import signal
import threading

import pytest

from resatlas.training.signals import stop_on_signal
from resatlas.training.watch import LastReport, Report, identity, silences


def last_report(*, seen: float, since: float, waiting: bool) -> LastReport:
    """The last report of a process."""
    report = Report(number=1, exchanges=1, batches=1, waiting=waiting, pid=1, host="here", identity="")
    return LastReport(report=report, seen=seen, since=since)


@pytest.mark.parametrize(
    ("first", "second", "silent"),
    [
        (last_report(seen=100, since=40, waiting=True), last_report(seen=41, since=38, waiting=False), {1: 60}),
        (last_report(seen=100, since=40, waiting=True), last_report(seen=100, since=38, waiting=False), {1: 60}),
        (last_report(seen=100, since=40, waiting=True), last_report(seen=41, since=40, waiting=True), {1: 59}),
        (last_report(seen=41, since=38, waiting=False), last_report(seen=100, since=40, waiting=True), {0: 60}),
        (last_report(seen=100, since=40, waiting=True), last_report(seen=100, since=99, waiting=False), {1: 1}),
        (last_report(seen=100, since=99, waiting=True), last_report(seen=100, since=10, waiting=False), {1: 1}),
        (last_report(seen=100, since=10, waiting=False), last_report(seen=100, since=10, waiting=False), {}),
        (last_report(seen=100, since=10, waiting=True), last_report(seen=100, since=10, waiting=True), {}),
        (last_report(seen=100, since=40, waiting=True), LastReport(report=None, seen=0, since=0), {1: 60}),
    ],
    ids=[
        "stopped before the exchange",
        "stuck before the exchange, with living threads",
        "stopped within the exchange",
        "rank 0",
        "it advances, batch by batch",
        "the other has waited for a second only",
        "none waits: a long step",
        "both wait and report",
        "not started",
    ],
)
def test_silent_processes(first: LastReport, second: LastReport, silent: dict[int, float]) -> None:
    """A process is silent if another waits for it; seconds count from its last progress or report."""
    assert silences({0: first, 1: second}, 100) == silent


def test_a_repeated_report_changes_nothing() -> None:
    """The number identifies a report; `since` changes only if the main thread has advanced."""
    before = last_report(seen=10, since=5, waiting=True)
    assert before.report
    assert before.after(before.report, 20) == before
    again = Report(number=2, exchanges=1, batches=1, waiting=True, pid=1, host="here", identity="")
    assert before.after(again, 20) == LastReport(report=again, seen=20, since=5)
    moved = Report(number=3, exchanges=2, batches=1, waiting=True, pid=1, host="here", identity="")
    assert before.after(moved, 20) == LastReport(report=moved, seen=20, since=20)


def test_another_thread_can_read_the_signal() -> None:
    """The system writes the number at once; the handler of Python runs later."""
    received: list[signal.Signals | None] = []
    with stop_on_signal() as request:
        assert request.received() is None
        os.kill(os.getpid(), signal.SIGTERM)
        request.signal = None  # as if no handler had run
        thread = threading.Thread(target=lambda: received.append(request.received()))
        thread.start()
        thread.join()
    assert received == [signal.SIGTERM]


def test_the_identity_of_a_process_is_unique() -> None:
    """It contains start time and machine, so no other process has it."""
    assert identity(os.getpid()) == identity(os.getpid()) != ""
    assert identity(os.getppid()) not in ("", identity(os.getpid()))
    assert identity(2**22 + 1) == ""
