"""The processes of one training: who leads, which images are whose, and what they agree on.

torchrun starts them, on one machine or many, and tells each its rank; DDP means their gradients. Without torchrun
there is one process, and nothing is exchanged.
"""

import gc
import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed.nn  # before a world is joined: defaults of its functions would keep the world to the very end
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from resatlas.errors import ProcessLost, ResatlasError
from resatlas.runs.environment import processes, restarts
from resatlas.training import watch
from resatlas.training.signals import StopRequest
from resatlas.training.watch import INTACT, RANK_TIMEOUT, OnEnd, Watch
from resatlas.values.pulse import PULSE

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long an exchange may take where nobody is silent: see `training.watch`."""

BACKEND = "cpu:gloo,cuda:nccl"
"""Where there are GPUs: gradients travel between them, and what the processes agree on through main memory."""

LOST = re.compile("gloo|NCCL|Connection (closed|reset)", re.IGNORECASE)
"""What an exchange says where the other side has gone, unless its error is one of torch.distributed's own class."""

_watches: list[Watch] = []
"""The watch of the world that was joined."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together: how many, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    @property
    def words(self) -> tuple[int, ...]:
        """What tells this process's random numbers from those of the leading one."""
        return (self.rank,) if self.rank else ()

    def share(self, images: Tensor) -> Tensor:
        """The part of a batch's positions that is this process's: consecutive ones, in the order of ranks."""
        bounds = [k * len(images) // self.size for k in (self.rank, self.rank + 1)]
        return images[bounds[0] : bounds[1]]

    def sums(self, *values: float) -> tuple[float, ...]:
        """The sums over all processes, the same in each."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        with PULSE:
            distributed.all_reduce(total)
        return tuple(total.tolist())

    def mean(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.size > 1 and tensors:
            flat = torch.cat([each.flatten() for each in tensors])
            with PULSE:
                distributed.all_reduce(flat)
            for each, found in zip(tensors, (flat / self.size).split([each.numel() for each in tensors]), strict=True):
                each.copy_(found.view_as(each))

    def lead(self, work: Callable[[], T]) -> T:
        """What the leading process finds, in all of them; so is the error that it meets.

        Raises: whatever resatlas refuses there.
        """
        if self.size == 1:
            return work()
        found: list[T | ResatlasError | None] = [None]
        if self.leads:
            try:
                found = [work()]
            except ResatlasError as error:
                found = [error]
        with PULSE:
            distributed.broadcast_object_list(found, src=0)
        if isinstance(found[0], ResatlasError):
            raise found[0]
        return found[0]  # type: ignore[return-value]

    def agreed(self, number: signal.Signals | None) -> signal.Signals | None:
        """The highest signal that any process heard, at the same step in all."""
        if self.size == 1:
            return number
        heard = torch.tensor(float(number or 0))
        with PULSE:
            distributed.all_reduce(heard, distributed.ReduceOp.MAX)
        return signal.Signals(int(heard)) if heard else None

    def gathered(self, own: T) -> list[T]:
        """What each process has, in the order of ranks."""
        if self.size == 1:
            return [own]
        found: list[T | None] = [None] * self.size
        with PULSE:
            distributed.all_gather_object(found, own)
        return found  # type: ignore[return-value]

    def exchange(self) -> AbstractContextManager[None]:
        """Mark what waits for the other processes, as a backward pass does, which averages gradients."""
        return PULSE if self.size > 1 else nullcontext()


ALONE = World()


def together(network: nn.Module, world: World) -> nn.Module | None:
    """The network with gradients averaged over all processes, the running statistics left to each; None alone."""
    if world.size == 1:
        return None
    with PULSE, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.14 has another name for it, which 2.10 does not know
        return DistributedDataParallel(network, broadcast_buffers=False)


def share_statistics(network: nn.Module, world: World, *, among: int) -> None:
    """Let each `among` processes in a row normalise by the statistics of all their images, as torch has it for GPUs."""
    with PULSE:
        teams = [distributed.new_group(list(range(first, first + among))) for first in range(0, world.size, among)]
    nn.SyncBatchNorm.convert_sync_batchnorm(network, teams[world.rank // among])


def alone_until_the_last(network: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Exchange gradients in the last pass of a step only."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) and not last else nullcontext()


@contextmanager
def joined(*, rank_timeout: float = RANK_TIMEOUT, on_note: Callable[[str], None] = watch.say) -> Iterator[World]:
    """The world that torchrun started, for as long as it is needed; alone without torchrun.

    A process that does not answer is told to `on_note`; after `rank_timeout` seconds all processes end.
    Raises: ProcessLost
    """
    if processes() == 1 or distributed.is_initialized():
        yield current()
        return
    with losses_told():
        _join(rank_timeout, on_note)
        try:
            yield current()
        finally:
            while _watches:
                _watches.pop().stop()
            gc.collect()  # what DDP keeps of the world
            distributed.destroy_process_group()


def _join(rank_timeout: float, on_note: Callable[[str], None]) -> None:
    """Meet the others in a part of torchrun's store that is this start's own: it keeps addresses of the dead."""
    limit = timedelta(seconds=rank_timeout)
    store, rank, size = next(distributed.rendezvous("env://", timeout=limit))
    own = distributed.PrefixStore(f"start {restarts()}", store)
    aside = own.clone()  # a connection of its own
    aside.set_timeout(timedelta(days=365))
    hosted = None if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" else 0
    _watches.append(Watch(aside, rank=rank, size=size, timeout=rank_timeout, hosted=hosted, on_note=on_note))
    _watches[-1].start()
    backend = BACKEND if torch.cuda.is_available() else "gloo"
    with PULSE:
        distributed.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=max(PATIENCE, 2 * limit))


@contextmanager
def heeding(request: StopRequest, on_end: OnEnd) -> Iterator[None]:
    """Let the watch of this world, if there is one, heed a stop, and call `on_end` before it ends the processes."""
    with _watches[-1].heeding(request, on_end) if _watches else nullcontext():
        yield


@contextmanager
def losses_told() -> Iterator[None]:
    """Say in words what an exchange says of a process that has gone: the one place where errors of torch's are read.

    Raises: ProcessLost
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not LOST.search(str(error)):
            raise
        silent = _watches[-1].reason() if _watches else None
        if silent:
            raise ProcessLost(f"{silent}; {INTACT}") from None
        if not distributed.is_initialized():
            raise ProcessLost(
                f"the {processes()} processes did not meet at {os.environ.get('MASTER_ADDR')}:"
                f"{os.environ.get('MASTER_PORT')}; are all of them started, and can they reach each other?"
            ) from None
        raise ProcessLost(f"another of these processes has ended; {INTACT}") from None


def current() -> World:
    """The world that was joined, or this process alone."""
    if not distributed.is_initialized():
        return ALONE
    return World(rank=distributed.get_rank(), size=distributed.get_world_size())
