"""How a training is carried out on a machine: on what, keeping what, with which promises. It changes no result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from resatlas.errors import UsageError
from resatlas.runs.environment import local_rank, processes
from resatlas.training.watch import RANK_TIMEOUT

if TYPE_CHECKING:  # to be described, it needs no torch
    import torch

    from resatlas.nets.recomputing import Kept

Device = Literal["cpu", "cuda"]
Log = Literal["tensorboard", "wandb"]

Verify = Literal["none", "tested", "all"]
"""Which image files are opened and decoded before the first epoch: none, those of validation and test, or all."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a training is carried out, which changes no result.

    `device` is the GPU where there is one, unless it is named. `kept` is what a forward pass keeps for the backward
    pass: see `nets.recomputing`. `deterministic` refuses operations that may differ from run to run. `logs` are
    written beside metrics.jsonl: by default that of TensorBoard, where it is installed. `rank_timeout` is how many
    seconds one of several processes may not answer before all end. `resume` is "auto" or a checkpoint; `save_every` is
    the number of seconds between checkpoints at the ends of epochs. `workers` processes prepare photographs. `verify`
    is by default the images that are tested on, and all where unreadable ones are skipped. `test_batch` is how many
    images a test shows at once, by default as many as the training has memory for, and 256 at most.
    """

    device: Device | None = None
    kept: "Kept" = "all"
    deterministic: bool = False
    logs: tuple[Log, ...] | None = None
    rank_timeout: float = RANK_TIMEOUT
    resume: str | None = None
    save_every: float = 30.0
    workers: int = 1
    verify: Verify | None = None
    test_batch: int | None = None


def device_of(asked: Device | None) -> "torch.device":
    """The device of this process: of several GPUs the one of its number on this machine.

    Raises: UsageError if there is none that was asked for, or fewer GPUs than processes.
    """
    import torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU here; leave out --device or give --device cpu")
    if asked == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number, count = local_rank(), torch.cuda.device_count()
    if number >= count:
        raise UsageError(f"{count} GPUs serve {count} processes on a machine; start fewer, or give --device cpu")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    torch.backends.cudnn.allow_tf32 = False  # fp32 is float32 in convolutions too, as it is in products by default
    return device


@contextmanager
def determinism(*, asked: bool, on_note: Callable[[str], None]) -> Iterator[None]:
    """Where asked for: no operation of torch whose result may differ from run to run, which is an error otherwise.

    The same seed then gives the same weights to the bit on the same machine with the same versions, number of
    processes and number of threads, which is said.
    """
    if not asked:
        yield
        return
    import os

    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which torch demands of a GPU, before its first use
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = False
    on_note(
        "deterministic: the same seed gives the same weights to the bit on this machine, with these versions and "
        f"{processes()} x {torch.get_num_threads()} threads"
    )
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before[0])
        torch.backends.cudnn.benchmark = before[1]
