"""Worker processes and their messages."""

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from resatlas.values.workers import Lost, Worker, end, exit_cause, messages, received, start
from tests.training.processes import FORKED


def doubling(pipe: Connection, first: int) -> None:
    """Answer the double of each number; after a negative one, ignore the pipe."""
    pipe.send(first)
    for number in received(pipe):
        pipe.send(2 * number)
        if number < 0:
            time.sleep(600)


@pytest.fixture
def pair() -> Iterator[list[Worker]]:
    """Two workers, which are ended afterwards."""
    workers = [start(FORKED, doubling, first) for first in (1, 2)]
    yield workers
    end(workers)
    assert not any(worker.process.is_alive() for worker in workers)


def answers(workers: list[Worker]) -> list[object]:
    """One message from each, in their order."""
    received: dict[Worker, object] = {}
    while len(received) < len(workers):
        received |= dict(messages([worker for worker in workers if worker not in received]))
    return [received[worker] for worker in workers]


def test_each_worker_answers_its_own_messages(pair: list[Worker]) -> None:
    """The arguments of its start, then what it is sent; nothing within a timeout if it was sent nothing."""
    assert answers(pair) == [1, 2]
    for worker, number in zip(pair, (10, 20), strict=True):
        worker.send(number)
    assert answers(pair) == [20, 40]
    assert list(messages(pair, timeout=0.01)) == []


def test_a_killed_worker_is_lost_and_its_signal_is_named(pair: list[Worker]) -> None:
    """The other one still answers; sending to the lost one is not an error."""
    assert answers(pair) == [1, 2]
    os.kill(pair[1].process.pid or 0, signal.SIGKILL)
    [(worker, message)] = messages(pair)
    assert worker is pair[1]
    assert isinstance(message, Lost)
    pair[1].send(3)
    assert exit_cause([pair[1]]) == "SIGKILL"
    pair[0].send(3)
    assert answers(pair[:1]) == [6]


def test_a_worker_ends_at_a_closed_pipe_or_is_killed(pair: list[Worker]) -> None:
    """One that reads its pipe exits by itself with code 0; another is killed after the timeout."""
    assert answers(pair) == [1, 2]
    end(pair[:1], within=60)
    assert pair[0].process.exitcode == 0
    pair[1].send(-1)
    assert answers(pair[1:]) == [-2]
    end(pair[1:], within=0.1)
    assert pair[1].process.exitcode == -signal.SIGKILL


def test_ctrl_c_is_open_again_after_a_start(pair: list[Worker]) -> None:
    """SIGINT is blocked only while a worker starts."""
    assert pair
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
