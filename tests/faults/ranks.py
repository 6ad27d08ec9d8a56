"""Processes that train together and of which one meets a fault: `python -m tests.faults.ranks …` is resatlas then.

FAULT says what happens to whom and in which step, as in "killed 1 7": the second process is killed in the seventh step;
"killed 1 7 once" spares it after that. `--processes` imports this module in each process, torchrun runs it in each;
`world` forks them, which is faster and does without a launcher.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

from resatlas.__main__ import run
from resatlas.cli import main
from resatlas.recipes.regularisers import Loss
from resatlas.training import distributed, loop
from resatlas.training.mixing import Labels
from tests.training import processes


def killed() -> None:
    """As by a system that has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


def mistaken() -> None:
    """A mistake in the program."""
    raise ZeroDivisionError("a mistake")


def infinite(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient that has overflowed."""
    return gradient * torch.inf


def unchanged(gradient: torch.Tensor) -> torch.Tensor:
    """The gradient as it is."""
    return gradient


def stopped() -> None:
    """As by a debugger, or a machine that stands still: its threads do nothing either."""
    os.kill(os.getpid(), signal.SIGSTOP)


def stuck() -> None:
    """As in a read of a file system that is gone: its threads live."""
    time.sleep(3600)


DEATHS: Mapping[str, Callable[[], None]] = {
    "killed": killed,
    "mistaken": mistaken,
    "stopped": stopped,
    "halted": stopped,
    "stuck": stuck,
}

LIMITS: Mapping[str, float] = {"stopped": 4.0, "stuck": 4.0, "halted": 40.0}
"""Seconds of --rank-timeout from the step on in which one is silent: the start of a training takes longer."""


def fault(what: str, rank: int, step: int, often: str = "always") -> None:
    """Let the process of that rank meet a fault in that step, counted from 1: a death, or a poison in its images."""
    real, real_loss, marker = loop.step, loop.loss_of, Path("fault met")

    def endless(loss: Loss, logits: torch.Tensor, labels: Labels) -> torch.Tensor:
        return real_loss(loss, logits, labels) * torch.inf

    def faulty(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        spared = often == "once" and marker.exists()
        met = what if training.world.rank == rank and state.step == step - 1 and not spared else ""
        if what in LIMITS and state.step == step - 1:
            distributed._watches[-1].timeout = LIMITS[what]
        if met in DEATHS:
            marker.touch()
            DEATHS[met]()
        loop.loss_of = endless if met == "loss" else real_loss
        bias = dict(state.network.named_parameters())["head.linear.bias"]
        hook = bias.register_hook(infinite if met == "gradient" else unchanged)
        try:
            real(state, batch._replace(images=batch.images * torch.nan) if met == "image" else batch, training)
        finally:
            hook.remove()

    loop.step = faulty


def watch_threads() -> None:
    """Let each process leave the names of its threads, once its work is done, in a file."""
    real = main._run

    def watched(words: list[str]) -> int:
        code = real(words)
        names = [(thread / "comm").read_text() for thread in Path("/proc/self/task").iterdir()]
        Path(f"threads of {os.environ.get('RANK', 'the launcher')}").write_text("".join(names))
        return code

    main._run = watched


def listed(step: int = 0) -> None:
    """Let each process list the images of its steps in a file, and ask for an end in one of them."""
    real = loop.step

    def listing(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        real(state, batch, training)
        with Path("images").open("a") as file:
            print(state.step, *batch.ids.tolist(), file=file)
        if state.step == step and training.world.leads:
            os.kill(os.getpid(), signal.SIGTERM)

    loop.step = listing


def healthy() -> None:
    """No fault at all."""


def world(folder: Path, *words: str, first: Callable[[], None] = healthy) -> list[processes.Ended]:
    """The ends of two processes that train together, each in a folder below this one."""
    return [program.ended() for program in begun(folder, *words, address=free_address(), first=first)]


def free_address() -> dict[str, str]:
    """Where two processes can meet."""
    with socket.create_server(("localhost", 0)) as free:
        return {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}


def met(
    folder: Path, *words: str, address: Mapping[str, str], first: Callable[[], None] = healthy
) -> list[processes.Ended]:
    """The same where they meet at an address of this test's."""
    return [program.ended() for program in begun(folder, *words, address=address, first=first)]


def begun(
    folder: Path, *words: str, address: Mapping[str, str], first: Callable[[], None] = healthy
) -> list[processes.Program]:
    """Two processes that train together, in progress."""
    return [
        processes.start(folder / f"rank {rank}", *words, first=partial(belong, rank, address, first))
        for rank in range(2)
    ]


def launched(folder: Path, *words: str, fault: str = "") -> "subprocess.Popen[str]":
    """Python with these words in a folder, one thread a process, in a session of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**environment, "FAULT": fault} if fault else environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """(exit code, standard error) of a process that must end, and leave nobody in its folder."""
    folder = Path(f"/proc/{process.pid}/cwd").readlink()
    _, err = process.communicate(timeout=processes.PATIENCE)
    assert processes.wait_for(lambda: not at_work(folder)), at_work(folder)
    return process.returncode, err


def at_work(folder: Path) -> list[int]:
    """The processes whose folder it is: those of torchrun are in sessions of their own."""
    pids = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink() == folder:
                pids.append(int(link.parent.name))
    return pids


def belong(rank: int, address: Mapping[str, str], first: Callable[[], None]) -> None:
    """Make this process one of two."""
    os.environ |= {"RANK": f"{rank}", "WORLD_SIZE": "2", **address}
    torch.set_num_threads(1)
    first()


if "FAULT" in os.environ:
    what, rank, step, *often = os.environ["FAULT"].split()
    fault(what, int(rank), int(step), *often)
    watch_threads()

if __name__ == "__main__":
    run()
