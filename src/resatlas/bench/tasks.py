"""The tasks that are timed: a training step of ours or of a peer, or one convolution."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import nn

from resatlas.arch.ops import Shape
from resatlas.bench.peers import PeerNet
from resatlas.data import catalog as datasets
from resatlas.designs import catalog as designs
from resatlas.nets.peak import Kept
from resatlas.recipes.recipe import Decay, Precision, Recipe, Sgd
from resatlas.recipes.schedule import OneCycle
from resatlas.runs.experiment import Experiment
from resatlas.training.distributed import World, data_parallel, exchange_if_last
from resatlas.training.loop import CPU, epoch, step
from resatlas.training.memory import memory_kept
from resatlas.training.planning import plan_training
from resatlas.training.precision import autocast
from resatlas.training.splits import split_images
from resatlas.training.starting import first_state

IMAGE = Shape(3, 32, 32)
CLASSES = 10

_EPOCHS = 10**6
"""Epochs of a timed training: so many that its learning rate stays at its start value, and no step diverges."""

Step = Callable[[], object]

Tuning = Literal["default", "tuned", "compiled"]
"""The training of a peer: like its users (float32, default layout, plain SGD); with channels-last, our precision and
fused SGD; or the same with the whole network compiled."""


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A training step of `resatlas train` on one batch; with several designs, one step of each in turn.

    `kept` says which maps it stores: see `nets.peak.Kept`.
    """

    designs: tuple[str, ...]
    batch: int
    norm_group: int | None
    precision: Precision
    kept: Kept = "all"

    def __str__(self) -> str:
        return " and ".join(self.designs)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A training step of a peer's network on one batch, as in a usual training script."""

    net: PeerNet
    tuning: Tuning
    batch: int
    norm_group: int | None
    precision: Precision

    def __str__(self) -> str:
        return str(self.net)


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A 3x3 convolution of `channels` to `channels` on `side` x `side` maps, forward and backward, channels-last."""

    channels: int
    side: int
    images: int
    precision: Precision

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of forward and backward: the gradients of maps and weights cost one forward pass each."""
        return 3 * self.images * self.side**2 * 9 * self.channels**2


Task = Ours | Peer | Convolution


def step_of(task: Task, world: World) -> Step:
    """A function that takes one step of a task, in one process of a world.

    Raises: UsageError for a batch that the processes cannot share.
    """
    match task:
        case Ours():
            steps = [_ours(design, task, world) for design in task.designs]
            return lambda: [take_step() for take_step in steps]
        case Peer():
            return _peer(task, world)
        case Convolution():
            return _convolution(task)
        case _:
            assert_never(task)


def context_of(task: Task) -> AbstractContextManager[None]:
    """The context of a task's steps: ours as in `training.session.train`, none for others."""
    match task:
        case Ours():
            return memory_kept() if task.kept == "all" else nullcontext()
        case Peer() | Convolution():
            return nullcontext()
        case _:
            assert_never(task)


def recipe_of(task: Ours) -> Recipe:
    """The recipe of our training step: SGD on cross-entropy, with the batch, norm group and precision of the task."""
    return Recipe(
        name="bench",
        source="ours",
        epochs=_EPOCHS,
        batch=task.batch,
        norm_group=task.norm_group,
        precision=task.precision,
        optimizer=Sgd(),
        schedule=OneCycle(peak=0.1),
        decay=Decay(conv=5e-4, linear=5e-4),
    )


def _ours(design: str, task: Ours, world: World) -> Step:
    """The step of the training loop, with the first state of a training."""
    data = datasets.resolve(f"synthetic:images={max(2 * CLASSES, task.batch)}")
    experiment = Experiment(design=design, data="synthetic", recipe=recipe_of(task))
    state = first_state(designs.plan(design, image=data.image, classes=len(data.classes)), experiment)
    plan = plan_training(experiment, split_images(data.read(), experiment, data), world, state)
    state.network.train()
    state.network.kept = task.kept
    batch = next(epoch(state, plan))
    return lambda: step(state, batch, plan)


def _peer(task: Peer, world: World) -> Step:
    network = task.net.make(CLASSES).train()
    tuned = task.tuning != "default"
    layout = torch.channels_last if tuned else torch.contiguous_format
    network = network.to(memory_format=layout)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True if tuned else None
    )
    draw = torch.Generator().manual_seed(world.rank)
    count = len(world.share(torch.arange(task.batch)))
    images = torch.randn((count, *IMAGE), generator=draw).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    group = task.norm_group or count
    passes = list(zip(images.split(group), labels.split(group), strict=True))
    trained: nn.Module = data_parallel(network, world) or network
    if task.tuning == "compiled":
        trained = torch.compile(trained)  # type: ignore[assignment]

    def take_step() -> None:
        optimizer.zero_grad()
        for k, (part, truth) in enumerate(passes):
            with exchange_if_last(trained, last=k + 1 == len(passes)):
                with autocast(task.precision, CPU) if tuned else nullcontext():
                    loss = F.cross_entropy(trained(part), truth)
                (loss * (len(part) / count) if len(passes) > 1 else loss).backward()
        optimizer.step()

    return take_step


def _convolution(task: Convolution) -> Step:
    dtype = torch.bfloat16 if task.precision == "bf16" else torch.float32
    layer = nn.Conv2d(task.channels, task.channels, 3, padding=1, bias=False).to(dtype)
    layer = layer.to(memory_format=torch.channels_last)
    shape = (task.images, task.channels, task.side, task.side)
    maps = torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)

    def take_step() -> None:
        maps.grad = layer.weight.grad = None
        layer(maps).backward(gradient)

    return take_step
