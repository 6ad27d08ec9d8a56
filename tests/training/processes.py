"""The program in its own process, forked from one that has already imported torch.

Each process has its own signals, exit code, standard output and standard error, like one started by a shell.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver, get_context, resource_tracker, set_start_method
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.disk import unsynchronised

# torch._dynamo: torch imports it at the first step of an optimizer
FORKED = get_context("forkserver")
# torchvision: each process that reads photographs imports it
FORKED.set_forkserver_preload(
    ["torch._dynamo", "torchvision.transforms.v2", "sklearn.model_selection", "resatlas.training.session"]
)

PATIENCE = 120.0  # seconds


def serve() -> None:
    """Start the fork server and the tracker beside it, so that they do not have the variables of a test.

    A test that ends all processes with a variable of its own would end these, too.
    """
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of a process."""

    code: int | None
    out: str
    err: str

    @property
    def line(self) -> str:
        """The only line on its standard error."""
        assert self.err.count("\n") == 1
        assert self.err.endswith("\n")
        return self.err.rstrip("\n")


@dataclass(frozen=True)
class Program:
    """A running process and its working folder."""

    process: BaseProcess
    folder: Path

    def ended(self) -> Ended:
        """Wait for its end; fail after PATIENCE seconds."""
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError(f"not ended after {PATIENCE:g} s; standard error: {self._read('err')}")
        return Ended(self.process.exitcode, self._read("out"), self._read("err"))

    def _read(self, name: str) -> str:
        return (self.folder / f".{name}").read_text(encoding="utf-8")


def start(folder: Path, *words: str, first: Callable[[], None] | None = None) -> Program:
    """Start `resatlas` with these words in a folder; `first`, a function that can be pickled, prepares the process."""
    folder.mkdir(exist_ok=True)
    process = FORKED.Process(target=program, args=(folder, words, first))
    process.start()
    return Program(process, folder)


def run(folder: Path, *words: str, first: Callable[[], None] | None = None) -> Ended:
    """Run `resatlas` with these words in a folder to its end."""
    return start(folder, *words, first=first).ended()


def program(folder: Path, words: tuple[str, ...], first: Callable[[], None] | None) -> None:
    """Main function of the process: the same as `python -m resatlas`, with its output in files."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the shell that runs the tests may ignore it
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # values.workers may start the fork server with SIGINT blocked
    os.chdir(folder)
    set_start_method("fork", force=True)  # for its own processes, as in a program started by a shell
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / f".{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["resatlas", *words]
    os.fsync = unsynchronised
    from resatlas.cli.main import main

    if first:
        first()
    sys.exit(main())


def signal_at(step: int, *numbers: signal.Signals) -> None:
    """Let the process send signals to itself during a step, counted from 1 over the whole training."""
    from resatlas.training import loop

    real = loop.step

    def signalled(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        real(state, batch, training)
        if state.step == step:
            for number in numbers:
                os.kill(os.getpid(), number)

    loop.step = signalled


def exit_at(step: int) -> None:
    """Let the process end during a step, as by kill -9."""
    from resatlas.training import loop

    real = loop.step

    def deadly(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        if state.step == step - 1:
            os._exit(137)
        real(state, batch, training)

    loop.step = deadly


def members(group: int) -> list[int]:
    """The ids of the living processes of a group, without zombies."""
    living = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, its_group, *_ = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(its_group) == group and state not in "ZX":
            living.append(int(file.parent.name))
    return living


def wait_for(condition: Callable[[], object], *, seconds: float = PATIENCE) -> bool:
    """Whether a condition becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def limit_files(size: int) -> None:
    """Limit the size of files of the process in bytes, as on a disk that is nearly full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
