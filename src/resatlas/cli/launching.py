"""Several processes of one training on this machine, started by torchrun's own launcher."""

import ctypes
import logging
import os
import signal
import sys

from resatlas.errors import Stopped

DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG. Source: prctl(2)


def launch(processes: int, words: list[str]) -> int:
    """The exit code of `resatlas` with these words in so many processes, which know of each other.

    It is that of the first process that failed, or that of a stop where this process was asked for one: it hands the
    signal on, and waits for the checkpoint.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed", "torch.multiprocessing"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))
    config = LaunchConfig(
        run_id=str(os.getpid()),
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,  # a lost process ends all; the same command with --resume auto goes on
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, program)(words)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 1
    except SignalException:
        return Stopped.exit_code
    return 0


def program(words: list[str]) -> None:
    """What each of the processes does: it hears the launcher and no keyboard, and stops if the launcher dies."""
    os.setpgrp()
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    from resatlas.cli.main import main

    sys.exit(main(words))
