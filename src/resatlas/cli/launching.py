"""A command in several processes on this machine, started by the launcher of torchrun."""

import argparse
import atexit
import ctypes
import logging
import math
import os
import signal
import sys

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirement
from resatlas.errors import ProcessLost, Stopped, UsageError
from resatlas.runs.environment import LAUNCHED, processes
from resatlas.training.signals import stopping_signals
from resatlas.training.watch import LOST, RANK_TIMEOUT, leave
from resatlas.values.cores import cores

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG. Source: prctl(2)

_RESTARTS = 2
"""How often the processes of a training are restarted after one of them was killed."""

_TO_SAVE = 300
"""Seconds that processes have to finish their step and save a checkpoint after a stop, before they are killed."""

_MOST_TIMEOUT = 604_800.0
"""The longest --rank-timeout: a week in seconds."""


SEVERAL = Requirement(
    what="--processes N, or torchrun",
    holds=lambda options: options.processes not in (None, 1) or processes() > 1,
    otherwise="in one process",
)
"""The requirement of options that apply only to several processes."""


def arguments(parser: argparse.ArgumentParser, *, does: str) -> None:
    """Declare --processes, --workers and --rank-timeout of a verb."""
    parser.add_argument(
        "--processes", type=int, metavar="N", help=f"{does} in N processes on this machine (default: 1)"
    )
    workers_option(parser)
    parser.add_argument(
        "--rank-timeout",
        type=float,
        default=RANK_TIMEOUT,
        metavar="SECONDS",
        help=f"end all processes if one has not responded for this time (default: {RANK_TIMEOUT:g})",
    )


def workers_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Declare --workers, which `workers` reads."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that decode and augment photographs (default: the number of cores minus one)",
    )


def run_in_processes(options: argparse.Namespace) -> Outcome:
    """Run the same command in --processes processes; an outcome without text, since the first process prints it.

    Raises: UsageError for more processes than cores.
    """
    count = options.processes
    rank_timeout(options)
    most = os.cpu_count() or 1
    if not 1 <= count <= most:
        raise UsageError(f"--processes must be between 1 and {most}, the number of cores; got {count}")
    options.json, options.quiet = False, True
    restart = [*options.words, "--resume", "auto"] if hasattr(options, "resume") else None
    return Outcome(None, "", exit_code=launch(count, options.words, restart=restart))


def workers(options: argparse.Namespace) -> int:
    """The number of processes that prepare photographs: --workers, or the number of cores minus one.

    Raises: UsageError
    """
    if options.workers is None:
        return max(cores() - 1, 1)
    if not 1 <= options.workers <= 256:
        raise UsageError(f"--workers must be between 1 and 256; got {options.workers}")
    return options.workers


def rank_timeout(options: argparse.Namespace) -> float:
    """The seconds of --rank-timeout.

    Raises: UsageError
    """
    seconds: float = options.rank_timeout
    if not 1 <= seconds <= _MOST_TIMEOUT or math.isnan(seconds):
        raise UsageError(f"--rank-timeout must be between 1 and {_MOST_TIMEOUT:,.0f} seconds; got {seconds:g}")
    return seconds


def launch(processes: int, words: list[str], *, restart: list[str] | None) -> int:
    """The exit code of `resatlas` with these arguments in a group of processes.

    This is the exit code of the first process that failed. If this process receives a stop signal, it passes the
    signal on, waits for the checkpoint and returns the exit code of a stop. If a process is killed, all are restarted
    with the arguments `restart`, at most twice, unless `restart` is None.

    Raises: ProcessLost if a process is killed after the last restart.
    """
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_TO_SAVE))
    end = _run_group(processes, words)
    for _ in range(_RESTARTS if restart else 0):
        if isinstance(end, int):
            break
        print(f"{end}; all processes restart from the last checkpoint", file=sys.stderr)
        end = _run_group(processes, restart or words)
    if isinstance(end, int):
        return end
    raise ProcessLost(f"{end}{'; rerun the command with --resume auto to continue' if restart else ''}")


def _run_group(processes: int, words: list[str]) -> int | str:
    """The exit code of a group of processes, or a sentence about the process that was killed."""
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
        max_restarts=0,  # torchrun would also restart after a refusal, which has an exit code above 0
        monitor_interval=0.1,
        signals_to_handle=",".join(number.name for number in stopping_signals()),
    )
    try:
        elastic_launch(config, _program)(words)
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


def _program(words: list[str]) -> None:
    """The main function of each process, which stops if the launcher dies."""
    os.setpgrp()  # so that Ctrl-C reaches only the launcher, which passes it on
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    from resatlas.cli.main import main

    code = main(words)
    if code:
        leave(code)
    atexit.register(os._exit, code)  # runs after the exit code was sent to the launcher
