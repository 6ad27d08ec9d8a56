"""Statistics of batch normalisations as exact averages over the training images, instead of running averages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.errors import UsageError
from resatlas.nets.norm_groups import statistics_kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Of the values of each channel: their number, their mean, and the sum of squared distances from the mean."""

    count: int
    mean: Float[Tensor, " c"]
    squares: Float[Tensor, " c"]

    @property
    def variance(self) -> Float[Tensor, " c"]:
        """The population variance."""
        return self.squares / self.count


def moments(maps: Float[Tensor, "n c h w"]) -> Moments:
    """The moments of one batch, in float64 on the CPU."""
    variance, mean = (tensor.cpu() for tensor in torch.var_mean(maps.double(), dim=(0, 2, 3), correction=0))
    count = maps.numel() // maps.shape[1]
    return Moments(count=count, mean=mean, squares=variance * count)


def merged(left: Moments, right: Moments) -> Moments:
    """The moments of the union of two sets of values.

    Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
    """
    count, distance = left.count + right.count, right.mean - left.mean
    return Moments(
        count=count,
        mean=left.mean + distance * (right.count / count),
        squares=left.squares + right.squares + distance**2 * (left.count * right.count / count),
    )


@torch.no_grad()
def averaged_statistics(network: nn.Module, batches: Iterable[Float[Tensor, "n c h w"]]) -> dict[str, Moments]:
    """Mean and variance of the input of each norm over the batches, by its path; the network is unchanged.

    In this single pass each norm uses the batch statistics, as in training, and dropout is off, as in a test. The
    variance is that of all values together: the mean of the batch variances plus the variance of the batch means.

    Raises: UsageError for a network without norms.
    Source: the ResNet authors' README (KaimingHe/deep-residual-networks): an exact average after training instead of a
        moving one.
    Differs: the batch normalisation paper (arXiv:1502.03167), algorithm 2, averages the batches' variances alone.
    """
    norms = {path: module for path, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if not norms:
        raise UsageError("the network has no batch normalisation, so there are no statistics to estimate")
    statistics: dict[str, Moments] = {}

    def add(path: str, _norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        new = moments(inputs[0])
        statistics[path] = merged(statistics[path], new) if path in statistics else new

    handles = [norm.register_forward_pre_hook(partial(add, path)) for path, norm in norms.items()]
    network.eval()
    try:
        for norm in norms.values():
            norm.train()
        device = next(network.parameters()).device
        with statistics_kept(network):
            for images in batches:
                network(images.to(device))
    finally:
        for handle in handles:
            handle.remove()
        network.eval()
    return statistics


def set_statistics(network: nn.Module, statistics: Mapping[str, Moments]) -> None:
    """Replace the running statistics of each norm by these."""
    for path, new in statistics.items():
        norm = network.get_submodule(path)
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - `averaged_statistics` has no others
        for running, value in ((norm.running_mean, new.mean), (norm.running_var, new.variance)):
            if running is not None:
                running.copy_(value)


def batch_of(images: int, wanted: int) -> int:
    """The smallest batch size from `wanted` on whose last batch has more than one image: one has no variance.

    Raises: UsageError for a single image.
    """
    if images < 2:
        raise UsageError("statistics need 2 images or more; the run was trained on 1")
    return next(size for size in range(max(wanted, 2), images + 1) if images % size != 1) if wanted < images else images
