"""Contenders in their own processes: each is set up once, waits without computing, and takes steps on request.

So contenders with different numbers of threads and processes can take turns within one run.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from resatlas.errors import ProcessLost, ResatlasError
from resatlas.values.memory import out_of_memory
from resatlas.values.unforeseen import foreseen, show_traceback
from resatlas.values.workers import Lost, Worker, end, exit_cause, messages, received, start

if TYPE_CHECKING:  # only the processes that take the steps import torch
    from resatlas.bench.tasks import Task

CALL_SECONDS = 0.4
"""Duration of a call of several steps, long enough to hide the latency of the request and the clock's resolution."""

_LONG_SECONDS = 2.0
"""A first step that takes longer is not repeated to estimate the duration of a step."""

TO_END = 10.0
"""Seconds for processes to end by themselves."""

FORKED = get_context("forkserver")

PRELOADED = ["resatlas.bench.tasks", "resatlas.bench.profile", "torch._dynamo"]
"""Modules that the fork server imports once for all processes that take steps."""

Order = int | Literal["profile"]
"""A number of steps, or a profile of some steps."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A task, the number of its processes, and the threads of each."""

    task: "Task"
    processes: int
    threads: int


class Place(NamedTuple):
    """One process of a contender: its rank, the world size, its threads, and the port of the process group."""

    rank: int
    size: int
    threads: int
    port: int


class Crew:
    """The processes of a contender; a call takes `steps` steps in all of them."""

    def __init__(self, name: str, contender: Contender) -> None:
        self.name = name
        self.contender = contender
        self.steps = 1
        self.members: list[Worker] = []
        port = _free_port() if contender.processes > 1 else 0
        for rank in range(contender.processes):
            place = Place(rank=rank, size=contender.processes, threads=contender.threads, port=port)
            self.members.append(start(FORKED, _work, contender.task, place))

    def __call__(self) -> None:
        """Take the steps of a call."""
        self._order(self.steps)

    def warm(self) -> float:
        """Take one or two first steps, set the number of steps per call, and return the expected seconds of a call.

        Raises: UsageError for a task that the processes cannot do; ProcessLost.
        """
        self._answers()
        seconds = self._timed_step()
        if seconds < _LONG_SECONDS:
            seconds = self._timed_step()
        self.steps = ceil(CALL_SECONDS / seconds)
        return self.steps * seconds

    def _timed_step(self) -> float:
        started = time.perf_counter()
        self._order(1)
        return time.perf_counter() - started

    def profile(self) -> Any:  # noqa: ANN401 - what `profile.operations` returns
        """The operations of some steps in the first process."""
        return self._order("profile")[0]

    def _order(self, order: Order) -> list[Any]:
        for worker in self.members:
            worker.send(order)
        return self._answers()

    def _answers(self) -> list[Any]:
        """The answers of all processes, in the order of ranks; raises at the first failure, though others may wait.

        Raises: the ResatlasError of a process; ProcessLost if a process has ended.
        """
        answers: dict[Worker, Any] = {}
        while waiting := [worker for worker in self.members if worker not in answers]:
            for worker, answer in messages(waiting):
                if isinstance(answer, Lost):
                    cause = exit_cause(self.members)
                    raise ProcessLost(
                        f"a process that measured {self.name} was ended by {cause}; a lower --batch takes less memory"
                    )
                if isinstance(answer, ResatlasError):
                    raise answer
                answers[worker] = answer
        return [answers[worker] for worker in self.members]


@contextmanager
def crews(contenders: Mapping[str, Contender]) -> Iterator[dict[str, Crew]]:
    """The processes of all contenders, which end with the context."""
    FORKED.set_forkserver_preload(PRELOADED)
    crew_of: dict[str, Crew] = {}
    try:
        for name, contender in contenders.items():
            crew_of[name] = Crew(name, contender)
        yield crew_of
    finally:
        end([worker for crew in crew_of.values() for worker in crew.members], within=TO_END)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _work(pipe: Connection, task: "Task", place: Place) -> None:
    """Main function of a process: join the others, set up the task, and follow orders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the process that gives the orders
    if place.size > 1:
        ranks = {"WORLD_SIZE": place.size, "RANK": place.rank, "LOCAL_RANK": place.rank, "MASTER_PORT": place.port}
        os.environ.update({name: str(value) for name, value in ranks.items()}, MASTER_ADDR="127.0.0.1")
    import torch

    from resatlas.bench.tasks import context_of, step_of
    from resatlas.training.distributed import joined

    torch.set_num_threads(place.threads)
    with suppress(EOFError, OSError, ProcessLost):  # the process that gives the orders has ended, or reports the loss
        try:
            with joined() as world, context_of(task):
                _follow(step_of(task, world), pipe)
        except Exception as error:
            if isinstance(error, EOFError | OSError | ProcessLost) and not out_of_memory(error):
                raise
            show_traceback(error)
            pipe.send(foreseen(error, doing="a step that is timed", saving="a lower --batch"))


def _follow(step: Callable[[], object], pipe: Connection) -> None:
    """Report that the task is set up, and follow orders until the pipe is closed."""
    from resatlas.bench.profile import operations

    pipe.send(None)
    for order in received(pipe):
        if order == "profile":
            pipe.send(operations(step))
            continue
        for _ in range(order):
            step()
        pipe.send(None)
