"""The statistics of normalisations as exact averages over the training images, in place of running ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.errors import UsageError


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Of all values of each channel: how many there are, their mean, and the sum of squared distances from it."""

    count: int
    mean: Float[Tensor, " c"]
    squares: Float[Tensor, " c"]

    @property
    def variance(self) -> Float[Tensor, " c"]:
        """The population's variance."""
        return self.squares / self.count


def moments(maps: Float[Tensor, "n c h w"]) -> Moments:
    """The moments of one batch, in float64 and in this process's memory."""
    variance, mean = (each.cpu() for each in torch.var_mean(maps.double(), dim=(0, 2, 3), correction=0))
    count = maps.numel() // maps.shape[1]
    return Moments(count=count, mean=mean, squares=variance * count)


def merged(left: Moments, right: Moments) -> Moments:
    """The moments of both together.

    Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
    """
    count, apart = left.count + right.count, right.mean - left.mean
    return Moments(
        count=count,
        mean=left.mean + apart * (right.count / count),
        squares=left.squares + right.squares + apart**2 * (left.count * right.count / count),
    )


@torch.no_grad()
def averaged_statistics(network: nn.Module, batches: Iterable[Float[Tensor, "n c h w"]]) -> dict[str, Moments]:
    """Mean and variance of all that each norm is given over the batches, by its path; the network stays as it is.

    One pass: in it each norm normalises a batch by the batch's own statistics, as in training, and dropout is off, as
    in a test. The variance is that of all values together: the mean of the batches' variances plus the variance of
    their means.

    Raises: UsageError for a network without norms.
    Source: the ResNet authors' README (KaimingHe/deep-residual-networks): an exact average after training, no moving
        one.
    Differs: the batch normalisation paper (arXiv:1502.03167), algorithm 2, averages the batches' variances alone.
    """
    norms = {path: module for path, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if not norms:
        raise UsageError("the network has no normalisation whose statistics could be estimated")
    found: dict[str, Moments] = {}

    def take(path: str, _norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        new = moments(given[0])
        found[path] = merged(found[path], new) if path in found else new

    handles = [norm.register_forward_pre_hook(partial(take, path)) for path, norm in norms.items()]
    network.eval()
    try:
        for norm in norms.values():
            norm.train()
            norm.track_running_stats = False  # so that training mode changes no running statistics
        device = next(network.parameters()).device
        for images in batches:
            network(images.to(device))
    finally:
        for norm in norms.values():
            norm.track_running_stats = True
        for handle in handles:
            handle.remove()
        network.eval()
    return found


def set_statistics(network: nn.Module, statistics: Mapping[str, Moments]) -> None:
    """Let each norm normalise by these, in place of its running ones."""
    for path, found in statistics.items():
        norm = network.get_submodule(path)
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - only those were asked
        for running, value in ((norm.running_mean, found.mean), (norm.running_var, found.variance)):
            if running is not None:
                running.copy_(value)


def batch_of(images: int, wanted: int) -> int:
    """The number of images a batch, at least `wanted`, that leaves no single one over, which has no variance.

    Raises: UsageError if there is but one image.
    """
    if images < 2:
        raise UsageError("statistics are estimated on 2 images or more; the run was trained on 1")
    return next(size for size in range(max(wanted, 2), images + 1) if images % size != 1) if wanted < images else images
