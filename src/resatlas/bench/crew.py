"""Contenders in processes of their own, which live as long as they are measured and step when they are told to.

Each is set up once; between its turns it waits for a word and computes nothing, so contenders can take turns within
one run, whatever their threads and processes.
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
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from resatlas.errors import ProcessLost, ResatlasError
from resatlas.values.memory import out_of_memory
from resatlas.values.unforeseen import foreseen, show_traceback

if TYPE_CHECKING:  # what is timed is told apart without torch
    from resatlas.bench.tasks import Task

CALL_SECONDS = 0.4
"""A call takes as many steps as fill it, so that the word that starts them and the clock's grain do not count."""

LONG_SECONDS = 2.0
"""A first step that takes longer is no worse a measure of the next ones than a second one."""

TO_END = 10.0
"""Seconds that processes have to end by themselves."""

TO_TELL = 1.0
"""Seconds in which a process whose pipe is closed has ended."""

FORKED = get_context("forkserver")

PRELOADED = ["resatlas.bench.tasks", "resatlas.bench.profile", "torch._dynamo"]
"""What processes need that take training steps, imported once for all of them."""

Order = int | Literal["profile"]
"""So many steps; or one, whose operations are timed one by one."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What its processes do, how many they are, and how many threads each has."""

    task: "Task"
    processes: int
    threads: int


class Place(NamedTuple):
    """Where one process of a contender stands: its rank, their number, its threads, the port at which they meet."""

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
        port = _free_port() if contender.processes > 1 else 0
        self._members: list[tuple[BaseProcess, Connection]] = []
        for rank in range(contender.processes):
            ours, theirs = FORKED.Pipe()
            place = Place(rank=rank, size=contender.processes, threads=contender.threads, port=port)
            process = FORKED.Process(target=work, args=(contender.task, place, theirs), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))

    def __call__(self) -> None:
        """Take the steps of a call."""
        self._ordered(self.steps)

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
        self._ordered(1)
        return time.perf_counter() - started

    def profile(self) -> Any:  # noqa: ANN401 - what `profile.operations` gives
        """The operations of one step in the first of the processes."""
        return self._ordered("profile")[0]

    def end(self) -> None:
        """Let the processes end."""
        for _, pipe in self._members:
            with suppress(OSError):
                pipe.send(None)
            pipe.close()
        deadline = time.monotonic() + TO_END
        for process, _ in self._members:
            process.join(max(deadline - time.monotonic(), 0))
            if process.is_alive():
                process.kill()
                process.join()

    def _ordered(self, order: Order) -> list[Any]:
        for _, pipe in self._members:
            with suppress(OSError):  # its end is told by `_answers`
                pipe.send(order)
        return self._answers()

    def _answers(self) -> list[Any]:
        """What each process answers; the first to end is heard of, though others still wait for it.

        Raises: whatever resatlas refuses there; ProcessLost if one of them has ended.
        """
        answers: dict[Connection, Any] = {}
        pipes = [pipe for _, pipe in self._members]
        try:
            while silent := [pipe for pipe in pipes if pipe not in answers]:
                heard = wait(silent)
                for pipe in (each for each in silent if each in heard):
                    answers[pipe] = pipe.recv()
                    if isinstance(answers[pipe], ResatlasError):  # the others wait for it, or end with it
                        raise answers[pipe]
        except (EOFError, OSError):
            raise ProcessLost(
                f"a process that measured {self.name} was ended {self._how_ended()}; a lower --batch takes less memory"
            ) from None
        return [answers[pipe] for pipe in pipes]

    def _how_ended(self) -> str:
        """What ended a process: a signal, or what it has told standard error."""
        for process, _ in self._members:
            process.join(TO_TELL)
            code = process.exitcode or 0
            if code < 0:
                return f"by {signal.Signals(-code).name}"
        return "by an error"


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
        for crew in begun.values():
            crew.end()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def work(task: "Task", place: Place, pipe: Connection) -> None:
    """What happens in a process: it joins the others, sets up its task and follows orders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard is heard by the one that gives orders
    if place.size > 1:
        told = {"WORLD_SIZE": place.size, "RANK": place.rank, "LOCAL_RANK": place.rank, "MASTER_PORT": place.port}
        os.environ.update({name: str(value) for name, value in told.items()}, MASTER_ADDR="127.0.0.1")
    import torch

    from resatlas.bench.tasks import around, stepping
    from resatlas.training.distributed import joined

    torch.set_num_threads(place.threads)
    with suppress(EOFError, OSError, ProcessLost):  # whoever gives the orders is gone, or will hear of the loss
        try:
            with joined() as world, around(task):
                _follow(stepping(task, world), pipe)
        except Exception as error:
            if isinstance(error, EOFError | OSError | ProcessLost) and not out_of_memory(error):
                raise
            show_traceback(error)
            pipe.send(foreseen(error, doing="a step that is timed", saving="a lower --batch"))


def _follow(step: Callable[[], object], pipe: Connection) -> None:
    """Say that the task is set up, and follow orders until there are no more."""
    from resatlas.bench.profile import operations

    pipe.send(None)
    while (order := pipe.recv()) is not None:
        if order == "profile":
            pipe.send(operations(step))
            continue
        for _ in range(order):
            step()
        pipe.send(None)
