"""Contenders in processes of their own: each is set up once, waits without computing, and takes steps when ordered to.

So contenders can take turns within one run, whatever their numbers of threads and processes.
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

if TYPE_CHECKING:  # processes that take the steps import torch, this one does not
    from resatlas.bench.tasks import Task

CALL_SECONDS = 0.4
"""A call takes as many steps as fill it, so that neither the order that starts it nor the clock's grain counts."""

LONG_SECONDS = 2.0
"""A first step that takes longer predicts the next ones as well as a second step would."""

TO_END = 10.0
"""Seconds that processes have to end by themselves."""

FORKED = get_context("forkserver")

PRELOADED = ["resatlas.bench.tasks", "resatlas.bench.profile", "torch._dynamo"]
"""What processes that take training steps import, once for all of them."""

Order = int | Literal["profile"]
"""So many steps; or some steps whose operations are timed one by one."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A task, the number of processes that carry it out together, and the threads of each."""

    task: "Task"
    processes: int
    threads: int


class Place(NamedTuple):
    """One process among those of a contender: its rank, their number, its threads, the port at which they meet."""

    rank: int
    size: int
    threads: int
    port: int


class Crew:
    """The processes of a contender; calling it lets them take `steps` steps together."""

    def __init__(self, name: str, contender: Contender) -> None:
        self.name = name
        self.contender = contender
        self.steps = 1
        self.members: list[Worker] = []
        port = _free_port() if contender.processes > 1 else 0
        for rank in range(contender.processes):
            place = Place(rank=rank, size=contender.processes, threads=contender.threads, port=port)
            self.members.append(start(FORKED, work, contender.task, place))

    def __call__(self) -> None:
        """Take the steps of a call."""
        self._order(self.steps)

    def warm(self) -> float:
        """Take first steps, one or two, and settle how many steps a call has; the seconds that a call will take.

        Raises: UsageError for a task that the processes cannot do; ProcessLost.
        """
        self._answers()
        seconds = self._timed_step()
        if seconds < LONG_SECONDS:
            seconds = self._timed_step()
        self.steps = ceil(CALL_SECONDS / seconds)
        return self.steps * seconds

    def _timed_step(self) -> float:
        started = time.perf_counter()
        self._order(1)
        return time.perf_counter() - started

    def profile(self) -> Any:  # noqa: ANN401 - what `profile.operations` returns
        """The operations of one step in the first of the processes."""
        return self._order("profile")[0]

    def _order(self, order: Order) -> list[Any]:
        for worker in self.members:
            worker.send(order)
        return self._answers()

    def _answers(self) -> list[Any]:
        """The answer of each process; the first that fails or ends raises, though the others may still wait for it.

        Raises: whatever resatlas refuses there; ProcessLost if one of them has ended.
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
    """The processes of all contenders, for as long as they are needed."""
    FORKED.set_forkserver_preload(PRELOADED)
    begun: dict[str, Crew] = {}
    try:
        for name, contender in contenders.items():
            begun[name] = Crew(name, contender)
        yield begun
    finally:
        end([worker for crew in begun.values() for worker in crew.members], within=TO_END)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def work(pipe: Connection, task: "Task", place: Place) -> None:
    """What happens in a process: it joins the others, sets up its task and carries out orders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that gives the orders
    if place.size > 1:
        ranks = {"WORLD_SIZE": place.size, "RANK": place.rank, "LOCAL_RANK": place.rank, "MASTER_PORT": place.port}
        os.environ.update({name: str(value) for name, value in ranks.items()}, MASTER_ADDR="127.0.0.1")
    import torch

    from resatlas.bench.tasks import around, stepping
    from resatlas.training.distributed import joined

    torch.set_num_threads(place.threads)
    with suppress(EOFError, OSError, ProcessLost):  # the process that gives the orders is gone, or reports the loss
        try:
            with joined() as world, around(task):
                _follow(stepping(task, world), pipe)
        except Exception as error:
            if isinstance(error, EOFError | OSError | ProcessLost) and not out_of_memory(error):
                raise
            show_traceback(error)
            pipe.send(foreseen(error, doing="a step that is timed", saving="a lower --batch"))


def _follow(step: Callable[[], object], pipe: Connection) -> None:
    """Report that the task is set up, and carry out orders until there are no more."""
    from resatlas.bench.profile import operations

    pipe.send(None)
    for order in received(pipe):
        if order == "profile":
            pipe.send(operations(step))
            continue
        for _ in range(order):
            step()
        pipe.send(None)
