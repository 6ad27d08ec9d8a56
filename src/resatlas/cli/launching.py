"""Several processes of one command on this machine, started by torchrun's own launcher."""

import argparse
import atexit
import ctypes
import logging
import math
import os
import signal
import sys

from resatlas.cli.outcome import Outcome
from resatlas.cli.together import With
from resatlas.errors import ProcessLost, Stopped, UsageError
from resatlas.runs.environment import LAUNCHED, processes
from resatlas.training.signals import stopping_signals
from resatlas.training.watch import LOST, RANK_TIMEOUT, leave
from resatlas.values.cores import cores

DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG. Source: prctl(2)

RESTARTS = 2
"""How often the processes of a training are started again after one of them was killed."""

TO_SAVE = 300
"""Seconds that processes have for a step and a checkpoint once they are told to stop, before they are killed."""

MOST_TIMEOUT = 604_800.0
"""Seconds of a week."""


SEVERAL = With(
    what="--processes N, or torchrun",
    holds=lambda options: options.processes not in (None, 1) or processes() > 1,
    otherwise="in one process",
)
"""What options have no meaning without that several processes work together."""


def arguments(parser: argparse.ArgumentParser, *, does: str) -> None:
    """Declare --processes, --workers and --rank-timeout of a verb."""
    parser.add_argument("--processes", type=int, metavar="N", help=f"{does} in N processes on this machine")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that prepare photographs (default: one a core but one)"
    )
    parser.add_argument(
        "--rank-timeout",
        type=float,
        default=RANK_TIMEOUT,
        metavar="SECONDS",
        help=f"end all processes once one has not answered for so long (default: {RANK_TIMEOUT:g})",
    )


def launched(options: argparse.Namespace) -> Outcome:
    """The same command in --processes processes, the first of which has said everything.

    Raises: UsageError for more processes than cores.
    """
    count = options.processes
    rank_timeout(options)
    most = os.cpu_count() or 1
    if not 1 <= count <= most:
        raise UsageError(f"--processes lies between 1 and {most}, one a core; {count} does not")
    options.json, options.quiet = False, True
    again = [*options.words, "--resume", "auto"] if hasattr(options, "resume") else None
    return Outcome(None, "", exit_code=launch(count, options.words, again=again))


def workers(options: argparse.Namespace) -> int:
    """How many processes prepare photographs: --workers, or one a core but one.

    Raises: UsageError
    """
    if options.workers is None:
        return max(cores() - 1, 1)
    if not 1 <= options.workers <= 256:
        raise UsageError(f"--workers lies between 1 and 256; {options.workers} does not")
    return options.workers


def rank_timeout(options: argparse.Namespace) -> float:
    """The seconds of --rank-timeout.

    Raises: UsageError
    """
    seconds: float = options.rank_timeout
    if not 1 <= seconds <= MOST_TIMEOUT or math.isnan(seconds):
        raise UsageError(f"--rank-timeout lies between 1 and {MOST_TIMEOUT:,.0f} seconds; {seconds:g} does not")
    return seconds


def launch(processes: int, words: list[str], *, again: list[str] | None) -> int:
    """The exit code of `resatlas` with these words in so many processes, which know of each other.

    It is that of the first process that failed, or that of a stop where this process was asked for one: it hands the
    signal on, and waits for the checkpoint. Where a process was killed, all begin anew with the words `again`, twice at
    most, if there are such words.

    Raises: ProcessLost where a process was killed once more.
    """
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(TO_SAVE))
    found = _end(processes, words)
    for _ in range(RESTARTS if again else 0):
        if isinstance(found, int):
            break
        print(f"{found}; all of them go on from the last checkpoint", file=sys.stderr)
        found = _end(processes, again or words)
    if isinstance(found, int):
        return found
    raise ProcessLost(f"{found}{'; the same command with --resume auto goes on' if again else ''}")


def _end(processes: int, words: list[str]) -> int | str:
    """The exit code of a world, or a sentence about the process of it that was killed."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed", "torch.multiprocessing"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config = LaunchConfig(
        run_id=f"{LAUNCHED}{os.getpid()}",
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,  # here it would restart after a refusal too
        monitor_interval=0.1,
        signals_to_handle=",".join(number.name for number in stopping_signals()),
    )
    try:
        elastic_launch(config, program)(words)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == LOST:
            return ProcessLost.exit_code
        if failure.exitcode > 0:
            return failure.exitcode
        return f"process {rank + 1} of {processes} was killed by {signal.Signals(-failure.exitcode).name}"
    except SignalException:
        return Stopped.exit_code
    return 0


def program(words: list[str]) -> None:
    """What each of the processes does: it receives signals from the launcher only, and stops if the launcher dies."""
    os.setpgrp()
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    from resatlas.cli.main import main

    code = main(words)
    if code:
        leave(code)
    atexit.register(os._exit, code)  # after the launcher has heard of the end
