"""Processes that train together, one of which has a fault: `python -m tests.faults.ranks …` runs resatlas then.

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
from resatlas.training import distributed, loop, watch
from resatlas.training.mixing import Labels
from tests.training import processes


def killed() -> None:
    """End like a process killed for lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def mistaken() -> None:
    """Raise a programming error."""
    raise ZeroDivisionError("a mistake")


def infinite(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient that overflows."""
    return gradient * torch.inf


def unchanged(gradient: torch.Tensor) -> torch.Tensor:
    """The unchanged gradient."""
    return gradient


def stopped() -> None:
    """Stop the whole process, including its threads, as a debugger does."""
    os.kill(os.getpid(), signal.SIGSTOP)


def stuck() -> None:
    """Block the main thread, as a read of a lost file system does; other threads run."""
    time.sleep(3600)


DEATHS: Mapping[str, Callable[[], None]] = {
    "killed": killed,
    "mistaken": mistaken,
    "stopped": stopped,
    "halted": stopped,
    "stuck": stuck,
}

MEETING = 8.0
"""Seconds for which processes that torchrun has started again wait for each other."""

LIMITS: Mapping[str, float] = {"stopped": 4.0, "stuck": 4.0, "halted": 40.0}
"""Seconds of --rank-timeout from the step with the silent process on, since the start of a training takes longer."""


def fault(what: str, rank: int, step: int, often: str = "always") -> None:
    """Cause a fault of the process of this rank in this step, counted from 1."""
    real, real_loss, marker, watch.MEETING = loop.step, loop.loss_of, Path("fault met"), MEETING

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
    """Let each process write the names of its threads to a file at its end."""
    real = main._run

    def watched(words: list[str]) -> int:
        code = real(words)
        names = [(thread / "comm").read_text() for thread in Path("/proc/self/task").iterdir()]
        Path(f"threads of {os.environ.get('RANK', 'the launcher')}").write_text("".join(names))
        return code

    main._run = watched


def listed(step: int = 0) -> None:
    """Let each process write the images of its steps to a file, and request a stop in one of them."""
    real = loop.step

    def listing(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        real(state, batch, training)
        with Path("images").open("a") as file:
            print(state.step, *batch.ids.tolist(), file=file)
        if state.step == step and training.world.leads:
            os.kill(os.getpid(), signal.SIGTERM)

    loop.step = listing


def healthy() -> None:
    """No fault."""


def world(folder: Path, *words: str, first: Callable[[], None] = healthy) -> list[processes.Ended]:
    """The ends of two processes that train together, each in a subfolder."""
    return [program.ended() for program in begun(folder, *words, address=free_address(), first=first)]


def free_address() -> dict[str, str]:
    """A free address for a process group."""
    with socket.create_server(("localhost", 0)) as free:
        return {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}


def met(
    folder: Path, *words: str, address: Mapping[str, str], first: Callable[[], None] = healthy
) -> list[processes.Ended]:
    """The ends of two processes with this address of their group."""
    return [program.ended() for program in begun(folder, *words, address=address, first=first)]


def begun(
    folder: Path, *words: str, address: Mapping[str, str], first: Callable[[], None] = healthy
) -> list[processes.Program]:
    """Two running processes that train together."""
    return [
        processes.start(folder / f"rank {rank}", *words, first=partial(belong, rank, address, first))
        for rank in range(2)
    ]


def launched(folder: Path, *words: str, fault: str = "") -> "subprocess.Popen[str]":
    """Python with these words in a folder, with one thread per process, in its own session."""
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
    """(exit code, standard error) of a process, which must end and leave no process in its folder."""
    folder = Path(f"/proc/{process.pid}/cwd").readlink()
    _, err = process.communicate(timeout=processes.PATIENCE)
    assert processes.wait_for(lambda: not at_work(folder)), at_work(folder)
    return process.returncode, err


def at_work(folder: Path) -> list[int]:
    """The processes whose working folder is this one; those of torchrun have their own sessions."""
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
