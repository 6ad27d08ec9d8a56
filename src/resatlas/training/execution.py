"""How a training is executed on a machine. Results are the same, up to rounding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from resatlas.errors import UsageError
from resatlas.runs.environment import local_rank, processes
from resatlas.runs.record import Keep
from resatlas.training.watch import RANK_TIMEOUT

if TYPE_CHECKING:  # the command line describes it without torch
    import torch

    from resatlas.nets.peak import Kept

Device = Literal["cpu", "cuda"]
Log = Literal["tensorboard", "wandb"]

Verify = Literal["none", "tested", "all"]
"""Which image files are opened and decoded before the first epoch: none, those of validation and test, or all."""


PROFILE_AFTER = 5
"""Steps of a warm-up before those of a trace."""

MOST_PROFILED = 1_000
"""Steps of a trace at most: a step of a deep network takes about a megabyte."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Options of the execution, which do not change results, up to rounding.

    `device` is by default the GPU if there is one. `kept` selects the activations that a forward pass keeps for the
    backward pass: see `nets.peak.Kept`. `deterministic` raises an error at operations whose results may differ
    between runs. `logs` are written beside metrics.jsonl; the default is TensorBoard if it is installed.
    `rank_timeout` is the number of seconds after which all processes end if one does not answer. `resume` is "auto" or
    a checkpoint; `save_every` is the number of seconds between checkpoints, also inside epochs; 0 saves at the end of
    every epoch and not inside. `keep` says which checkpoints stay, by default what the run began with, or else the
    newest. `workers` is the number of processes that prepare photographs. `verify` is by default "tested", and "all" if
    unreadable images are skipped. `test_batch` is the batch size of a test: by default as many images as the memory of
    the training allows, and 256 at most. `profile` is the number of steps of which a trace is written.
    """

    device: Device | None = None
    kept: "Kept" = "all"
    deterministic: bool = False
    logs: tuple[Log, ...] | None = None
    rank_timeout: float = RANK_TIMEOUT
    resume: str | None = None
    save_every: float = 30.0
    keep: Keep | None = None
    workers: int = 1
    verify: Verify | None = None
    test_batch: int | None = None
    profile: int | None = None

    def __post_init__(self) -> None:
        if self.profile is not None and not 1 <= self.profile <= MOST_PROFILED:
            raise UsageError(f"--profile must be between 1 and {MOST_PROFILED:,} steps; got {self.profile:,}")


def device_of(wanted: Device | None) -> "torch.device":
    """The device of this process; with several GPUs, the one of its local rank.

    Raises: UsageError if the wanted device is missing, or there are fewer GPUs than processes.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU here; omit --device or give --device cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number, count = local_rank(), torch.cuda.device_count()
    if number >= count:
        raise UsageError(
            f"{count} GPUs allow {count} processes on a machine; start fewer processes, or give --device cpu"
        )
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    torch.backends.cudnn.allow_tf32 = False  # fp32 is float32 in convolutions too, as it is in products by default
    torch.backends.cudnn.benchmark = False  # it chooses by stopwatch, so a resume might compute with other algorithms
    return device


@contextmanager
def determinism(*, wanted: bool, on_note: Callable[[str], None]) -> Iterator[None]:
    """If wanted, let torch raise an error at operations whose results may differ between runs.

    The same seed then gives bit-equal weights on the same machine with the same versions, number of processes and
    number of threads; `on_note` receives a sentence that says so.
    """
    if not wanted:
        yield
        return
    import os

    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch requires it on a GPU, before the first use
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
