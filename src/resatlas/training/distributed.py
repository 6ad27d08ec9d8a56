"""The processes of one training: their ranks, their shares of a batch, and collective operations.

torchrun starts the processes, on one machine or several, and gives each its rank; DDP averages their gradients. Without
torchrun there is one process, and nothing is exchanged.
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
from typing import Literal, TypeVar

import torch
import torch.distributed.nn  # before init_process_group: default arguments there would keep the group alive
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from resatlas.errors import ProcessLost, ResatlasError
from resatlas.runs.environment import processes, restarts
from resatlas.training import watch
from resatlas.training.signals import StopRequest
from resatlas.training.watch import RANK_TIMEOUT, OnEnd, Watch, afterwards
from resatlas.values.pulse import PULSE

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""Timeout of a collective while all processes report: see `training.watch`."""

_BACKEND = "cpu:gloo,cuda:nccl"
"""With GPUs: NCCL for gradients, gloo for values in main memory."""

_LOST = re.compile("gloo|NCCL|Connection (closed|reset)", re.IGNORECASE)
"""Error messages of a collective whose peer has ended, beside the error classes of torch.distributed."""

Request = signal.Signals | Literal["save"]
"""What a process asks of all after a step: to stop after a signal, or to save."""

_SAVE = 0.5
"""The number of "save" among those of the signals, which are higher."""

_watches: list[Watch] = []
"""The watch of the process group, if there is one."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together: the rank of this process and the world size."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and messages for all."""
        return self.rank == 0

    @property
    def words(self) -> tuple[int, ...]:
        """Words that make the random numbers of this process differ from those of rank 0."""
        return (self.rank,) if self.rank else ()

    def share(self, images: Tensor) -> Tensor:
        """The positions of a batch that this process trains on: consecutive ones, in the order of ranks."""
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
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            with PULSE:
                distributed.all_reduce(flat)
            for tensor, mean in zip(
                tensors, (flat / self.size).split([tensor.numel() for tensor in tensors]), strict=True
            ):
                tensor.copy_(mean.view_as(tensor))

    def lead(self, work: Callable[[], T]) -> T:
        """The result of `work` in rank 0, returned by all processes.

        Raises: the ResatlasError that rank 0 raises, in all processes.
        """
        if self.size == 1:
            return work()
        outcome: list[T | ResatlasError | None] = [None]
        if self.leads:
            try:
                outcome = [work()]
            except ResatlasError as error:
                outcome = [error]
        with PULSE:
            distributed.broadcast_object_list(outcome, src=0)
        if isinstance(outcome[0], ResatlasError):
            raise outcome[0]
        return outcome[0]  # type: ignore[return-value]

    def agreed(self, request: Request | None) -> Request | None:
        """The highest signal that any process received, or else "save" if one asks for it; at the same step in all."""
        if self.size == 1:
            return request
        highest = torch.tensor(_SAVE if request == "save" else float(request or 0))
        with PULSE:
            distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        number = float(highest)
        return "save" if number == _SAVE else signal.Signals(int(number)) if number else None

    def gathered(self, own: T) -> list[T]:
        """The values of all processes, in the order of ranks."""
        if self.size == 1:
            return [own]
        values: list[T | None] = [None] * self.size
        with PULSE:
            distributed.all_gather_object(values, own)
        return values  # type: ignore[return-value]

    def exchange(self) -> AbstractContextManager[None]:
        """Mark code that waits for the other processes, such as a backward pass, which averages gradients."""
        return PULSE if self.size > 1 else nullcontext()


ALONE = World()


def data_parallel(network: nn.Module, world: World) -> nn.Module | None:
    """The network wrapped to average gradients but not running statistics; None if there is one process."""
    if world.size == 1:
        return None
    with PULSE, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.14 renames the argument; torch 2.10 lacks the new name
        return DistributedDataParallel(network, broadcast_buffers=False)


def share_statistics(network: nn.Module, world: World, *, among: int) -> None:
    """Let each group of `among` consecutive ranks share batch statistics; torch has this for GPUs only."""
    with PULSE:
        teams = [distributed.new_group(list(range(first, first + among))) for first in range(0, world.size, among)]
    nn.SyncBatchNorm.convert_sync_batchnorm(network, teams[world.rank // among])


def exchange_if_last(network: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Exchange gradients in the last pass of a step only."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) and not last else nullcontext()


@contextmanager
def joined(*, rank_timeout: float = RANK_TIMEOUT, on_note: Callable[[str], None] = watch.say) -> Iterator[World]:
    """Join the process group that torchrun started, and leave it at the end; one process without torchrun.

    `on_note` receives a note of a process that does not answer; after `rank_timeout` seconds all processes end.
    Raises: ProcessLost
    """
    if processes() == 1 or distributed.is_initialized():
        yield current()
        return
    with losses_explained():
        _join(rank_timeout, on_note)
        try:
            yield current()
        finally:
            while _watches:
                _watches.pop().stop()
            gc.collect()  # DDP holds references to the group
            distributed.destroy_process_group()


def _join(rank_timeout: float, on_note: Callable[[str], None]) -> None:
    """Join under a prefix of torchrun's store for this start: the store keeps addresses of ended processes."""
    limit = timedelta(seconds=rank_timeout)
    store, rank, size = next(distributed.rendezvous("env://", timeout=limit))
    own = distributed.PrefixStore(f"start {restarts()}", store)
    aside = own.clone()  # a connection of its own
    aside.set_timeout(timedelta(days=365))
    hosted = None if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" else 0
    _watches.append(Watch(aside, rank=rank, size=size, timeout=rank_timeout, hosted=hosted, on_note=on_note))
    _watches[-1].start()
    backend = _BACKEND if torch.cuda.is_available() else "gloo"
    with PULSE, _watches[-1].meeting():
        distributed.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=max(PATIENCE, 2 * limit))


@contextmanager
def stopping_on(request: StopRequest, on_end: OnEnd) -> Iterator[None]:
    """Let the watch, if there is one, react to a stop request, and call `on_end` before it ends the processes."""
    with _watches[-1].stopping_on(request, on_end) if _watches else nullcontext():
        yield


@contextmanager
def losses_explained() -> Iterator[None]:
    """Raise ProcessLost instead of torch's errors about a process that has ended.

    Raises: ProcessLost
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not _LOST.search(str(error)):
            raise
        silent = _watches[-1].reason() if _watches else None
        if silent:
            raise ProcessLost(f"{silent}; {afterwards()}") from None
        if not distributed.is_initialized():
            raise ProcessLost(
                f"the {processes()} processes did not meet at {os.environ.get('MASTER_ADDR')}:"
                f"{os.environ.get('MASTER_PORT')}; are all of them started, and can they reach each other?"
            ) from None
        raise ProcessLost(f"another of these processes has ended; {afterwards()}") from None


def current() -> World:
    """The process group that was joined, or this process alone."""
    if not distributed.is_initialized():
        return ALONE
    return World(rank=distributed.get_rank(), size=distributed.get_world_size())
