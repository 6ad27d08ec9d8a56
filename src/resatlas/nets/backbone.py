"""The network inside a detector or a segmenter: what it must be, what of it is frozen, and seeds of other layers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from resatlas.errors import UsageError
from resatlas.nets.network import Network
from resatlas.recipes.detection import Frozen
from resatlas.values.seeds import derive


def frozen_modules(network: Network, frozen: Frozen | None) -> Iterator[nn.Module]:
    """The norms of the network, and, with `stages`, its stem and its first stages."""
    if frozen is None:
        return
    yield from (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    if frozen.stages:
        stem, *_ = network.children()
        yield from (stem, *list(network.stages.children())[: frozen.stages])


def check_frozen(network: Network, frozen: Frozen | None) -> None:
    """Refuse to freeze a network that has not been trained: its norms would do nothing.

    Raises: UsageError if all its norms have the statistics of a new network, or it has fewer stages.
    """
    if frozen is None:
        return
    if frozen.stages > len(network.stages):
        raise UsageError(
            f"frozen.stages is at most {len(network.stages)}, the stages of this network; got {frozen.stages}"
        )
    buffers = dict(network.named_buffers())
    means = all(not mean.any() for path, mean in buffers.items() if path.endswith("running_mean"))
    if means and all(bool((var == 1).all()) for path, var in buffers.items() if path.endswith("running_var")):
        raise UsageError(
            "frozen norms need trained weights, and this network is new: load its weights first, or leave frozen out"
        )


def check_no_classifier(network: Network, owner: str) -> None:
    """Refuse a network with a classifier, whose weights its owner, as in "a detector", would never train.

    Raises: UsageError
    """
    if network.plan.classes:
        raise UsageError(
            f"{owner} needs a network without its classifier, and this one has {network.plan.classes:,} classes; "
            "build it with classes=0, or call network.reset_classifier(0)"
        )


@contextmanager
def drawn_from(seed: int | None, purpose: str) -> Iterator[None]:
    """A context in which torch's generator on the CPU has a seed derived for the purpose; it is restored afterwards.

    Without a seed, the generator is used as it is.
    """
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(derive(seed, purpose))
        yield
