"""Running statistics of norms: over groups smaller than the batch, and of passes that do not count."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def running_statistics(network: nn.Module) -> list[Tensor]:
    """The running means and variances of a network (the tensors themselves, not copies)."""
    return [
        tensor for norm in _norms(network) for tensor in (norm.running_mean, norm.running_var) if tensor is not None
    ]


class RunningStatistics:
    """The running statistics of a network for one batch, which is split into groups with one forward pass each.

    new = (1 - momentum)·old + momentum·(mean of the batch statistics over the groups).
    Differs: the authors' programs use the statistics of the first device's group only.
    """

    def __init__(self, network: nn.Module) -> None:
        self._values = running_statistics(network)
        self._before = [value.clone() for value in self._values]
        self._sums = [value.new_zeros(value.shape) for value in self._values]
        self._counts = [norm.num_batches_tracked for norm in _norms(network) if norm.num_batches_tracked is not None]
        self._new_counts = [count + 1 for count in self._counts]
        self._passes = 0

    def add_pass(self) -> None:
        """Add the statistics after a pass to the sum, and restore those before it."""
        self._passes += 1
        for value, before, total in zip(self._values, self._before, self._sums, strict=True):
            total += value
            value.copy_(before)

    def finish(self) -> None:
        """Set the statistics to the mean over the passes, and count one batch."""
        for value, total in zip(self._values, self._sums, strict=True):
            value.copy_(total / self._passes)
        for count, new in zip(self._counts, self._new_counts, strict=True):
            count.copy_(new)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Within this context, norms in training mode normalise by batch statistics and change no running ones."""
    norms = list(_norms(network))
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _norms(network: nn.Module) -> Iterator[nn.BatchNorm2d | nn.SyncBatchNorm]:
    return (module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm))
