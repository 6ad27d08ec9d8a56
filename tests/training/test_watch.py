"""Who is silent, judged from what each process says about its main thread."""

import os
import signal
import threading

import pytest

from resatlas.training.signals import stop_on_signal
from resatlas.training.watch import LastReport, Report, identity, silences


def heard(*, seen: float, since: float, waiting: bool) -> LastReport:
    """What was heard of a process."""
    report = Report(number=1, exchanges=1, batches=1, waiting=waiting, pid=1, host="here", identity="")
    return LastReport(report=report, seen=seen, since=since)


@pytest.mark.parametrize(
    ("first", "second", "silent"),
    [
        (heard(seen=100, since=40, waiting=True), heard(seen=41, since=38, waiting=False), {1: 60}),
        (heard(seen=100, since=40, waiting=True), heard(seen=100, since=38, waiting=False), {1: 60}),
        (heard(seen=100, since=40, waiting=True), heard(seen=41, since=40, waiting=True), {1: 59}),
        (heard(seen=41, since=38, waiting=False), heard(seen=100, since=40, waiting=True), {0: 60}),
        (heard(seen=100, since=40, waiting=True), heard(seen=100, since=99, waiting=False), {1: 1}),
        (heard(seen=100, since=99, waiting=True), heard(seen=100, since=10, waiting=False), {1: 1}),
        (heard(seen=100, since=10, waiting=False), heard(seen=100, since=10, waiting=False), {}),
        (heard(seen=100, since=10, waiting=True), heard(seen=100, since=10, waiting=True), {}),
        (heard(seen=100, since=40, waiting=True), LastReport(report=None, seen=0, since=0), {1: 60}),
    ],
    ids=[
        "stopped before the exchange",
        "stuck before the exchange, its threads live",
        "stopped within the exchange",
        "the leading one",
        "it advances, batch by batch",
        "the other has waited for a second only",
        "nobody waits: a long step",
        "both wait, both live",
        "not started",
    ],
)
def test_who_is_silent(first: LastReport, second: LastReport, silent: dict[int, float]) -> None:
    """Whoever lets another wait, for as long as that waits; seconds count from when nothing came any more."""
    assert silences({0: first, 1: second}, 100) == silent


def test_a_report_that_repeats_itself_is_no_news() -> None:
    """Its number tells; and a main thread that stands where it stood has not moved."""
    before = heard(seen=10, since=5, waiting=True)
    assert before.report
    assert before.after(before.report, 20) == before
    again = Report(number=2, exchanges=1, batches=1, waiting=True, pid=1, host="here", identity="")
    assert before.after(again, 20) == LastReport(report=again, seen=20, since=5)
    moved = Report(number=3, exchanges=2, batches=1, waiting=True, pid=1, host="here", identity="")
    assert before.after(moved, 20) == LastReport(report=moved, seen=20, since=20)


def test_a_thread_hears_of_a_signal_whatever_the_main_thread_does() -> None:
    """The system writes its number at once; the handler runs later."""
    found: list[signal.Signals | None] = []
    with stop_on_signal() as request:
        assert request.received() is None
        os.kill(os.getpid(), signal.SIGTERM)
        request.signal = None  # as if no handler had run
        thread = threading.Thread(target=lambda: found.append(request.received()))
        thread.start()
        thread.join()
    assert found == [signal.SIGTERM]


def test_a_process_is_known_by_more_than_its_number() -> None:
    """By its start and its machine, so that no other is taken for it."""
    assert identity(os.getpid()) == identity(os.getpid()) != ""
    assert identity(os.getppid()) not in ("", identity(os.getpid()))
    assert identity(2**22 + 1) == ""
