"""Normalisations whose statistics are shared by groups of images smaller than the batch."""

from collections.abc import Iterator

from torch import Tensor, nn


def running(network: nn.Module) -> list[Tensor]:
    """The running means and variances of a network, the tensors themselves."""
    return [each for norm in _norms(network) for each in (norm.running_mean, norm.running_var) if each is not None]


class RunningStatistics:
    """The running statistics of a network over one batch that is shown in groups, each a pass of its own.

    new = (1 - momentum)·old + momentum·(mean over the groups of what each would have left).
    Differs: the authors' programs keep the statistics of the first device's group alone.
    """

    def __init__(self, network: nn.Module) -> None:
        self._values = running(network)
        self._before = [each.clone() for each in self._values]
        self._sums = [each.new_zeros(each.shape) for each in self._values]
        self._counts = [norm.num_batches_tracked for norm in _norms(network) if norm.num_batches_tracked is not None]
        self._counted = [each + 1 for each in self._counts]
        self._passes = 0

    def take(self) -> None:
        """Keep what the last pass left, and go back to what was before it."""
        self._passes += 1
        for value, before, total in zip(self._values, self._before, self._sums, strict=True):
            total += value
            value.copy_(before)

    def settle(self) -> None:
        """Leave the mean of what the passes left, and one batch counted."""
        for value, total in zip(self._values, self._sums, strict=True):
            value.copy_(total / self._passes)
        for count, counted in zip(self._counts, self._counted, strict=True):
            count.copy_(counted)


def _norms(network: nn.Module) -> Iterator[nn.BatchNorm2d | nn.SyncBatchNorm]:
    return (each for each in network.modules() if isinstance(each, nn.BatchNorm2d | nn.SyncBatchNorm))
