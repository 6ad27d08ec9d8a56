"""Normalisations whose statistics are shared by groups of images smaller than the batch."""

from torch import Tensor, nn


class RunningStatistics:
    """The running statistics of a network over one batch that is shown in groups, each a pass of its own.

    new = (1 - momentum)·old + momentum·(mean over the groups of what each would have left).
    Differs: the authors' programs keep the statistics of the first device's group alone.
    """

    def __init__(self, network: nn.Module) -> None:
        norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d | nn.SyncBatchNorm)]
        self.values = [each for norm in norms for each in (norm.running_mean, norm.running_var) if each is not None]
        self._before = [each.clone() for each in self.values]
        self._sums = [each.new_zeros(each.shape) for each in self.values]
        self._counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
        self._counted = [each + 1 for each in self._counts]
        self._passes = 0

    def take(self) -> None:
        """Keep what the last pass left, and go back to what was before it."""
        self._passes += 1
        for value, before, total in zip(self.values, self._before, self._sums, strict=True):
            total += value
            value.copy_(before)

    def settle(self) -> list[Tensor]:
        """Leave the mean of what the passes left, and one batch counted; the tensors themselves."""
        for value, total in zip(self.values, self._sums, strict=True):
            value.copy_(total / self._passes)
        for count, counted in zip(self._counts, self._counted, strict=True):
            count.copy_(counted)
        return self.values
