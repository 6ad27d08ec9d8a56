"""Worker processes: each is started with a pipe for its orders and its messages."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, Concatenate, ParamSpec

P = ParamSpec("P")

_TO_EXIT = 1.0
"""Seconds to wait for the exit of a process whose pipe is closed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Worker:
    """A process and our end of the pipe to it."""

    process: BaseProcess
    pipe: "Connection[Any, Any]"

    def send(self, message: object) -> None:
        """Send a message; if the process is lost, `messages` reports it."""
        with suppress(OSError):
            self.pipe.send(message)


class Lost:
    """Takes the place of a message if the process has ended."""


def start(
    context: SpawnContext | ForkServerContext,
    target: Callable[Concatenate["Connection[Any, Any]", P], None],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Worker:
    """Start a process that calls `target` with its end of the pipe and the arguments.

    SIGINT is blocked while it starts, so that Ctrl-C does not end it before it has set its own handler. A target that
    is spawned must unblock it.
    """
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), kwargs=kwargs, daemon=True)
    resource_tracker.ensure_running()  # starting it later would unblock SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    theirs.close()
    return Worker(process=process, pipe=ours)


def messages(workers: Sequence[Worker], *, timeout: float | None = None) -> Iterator[tuple[Worker, Any]]:
    """Wait for a message, then yield one from every worker that has sent some, and `Lost` for workers that ended."""
    ready = wait([worker.pipe for worker in workers], timeout)
    for worker in [worker for worker in workers if worker.pipe in ready]:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            message = Lost()
        yield worker, message


def exit_cause(workers: Sequence[Worker]) -> str:
    """The name of the signal that ended the first such worker, or "an error" if there is none."""
    for worker in workers:
        worker.process.join(_TO_EXIT)
        code = worker.process.exitcode or 0
        if code < 0:
            return signal.Signals(-code).name
    return "an error"


def end(workers: Sequence[Worker], *, within: float = 0.0) -> None:
    """Close the pipes, at which workers end by themselves, and kill those that still run after `within` seconds."""
    for worker in workers:
        worker.pipe.close()
    deadline = time.monotonic() + within
    for worker in workers:
        worker.process.join(max(deadline - time.monotonic(), 0))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def received(pipe: "Connection[Any, Any]") -> Iterator[Any]:
    """In a worker: yield the messages of the parent process, until it closes the pipe or ends."""
    with suppress(EOFError, OSError):
        while True:
            yield pipe.recv()
