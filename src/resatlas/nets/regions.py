"""Regions of maps: pooling them from the levels of a pyramid, and what a C4 detector computes on each."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, cat, nn
from torchvision.ops import roi_align

from resatlas.arch.plan import Plan
from resatlas.nets.network import Network
from resatlas.nets.norm_groups import statistics_kept
from resatlas.nets.streams import Streams, run_unit, split

_SAMPLES = 2
"""Points along each side of a bin of RoIAlign. Source: torchvision's detectors."""


class RegionPool(nn.Module):
    """maps, boxes -> the map of each box: RoIAlign from the level of its size.

    `strides` are the strides of the levels by name, from fine to coarse. A box whose side is `usual` comes from a level
    of half the coarsest stride s, one of side a from the last level with a stride of at most (s/2)·(a/usual), where the
    side of a box is the root of its area.

    Shape: {level: (n, c, h, w)}, n x (boxes, 4) -> (boxes of all images, c, size, size).
    Source: FPN (arXiv:1612.03144), equation 1; RoIAlign: Mask R-CNN (arXiv:1703.06870), section 3.
    Differs: torchvision infers the strides from the first batch; these are those of the plan.
    """

    def __init__(self, strides: Mapping[str, int], *, size: int, usual: float) -> None:
        super().__init__()
        self.strides = dict(strides)
        self.size = size
        self.usual = usual

    def forward(
        self,
        maps: Mapping[str, Tensor],
        boxes: Sequence[Float[Tensor, "_ 4"]],
        image_sizes: Sequence[tuple[int, int]],  # noqa: ARG002 - torchvision's heads pass them
    ) -> Float[Tensor, "r c s s"]:
        """The maps of all boxes, image by image."""
        numbers = cat([torch.full_like(own[:, :1], k) for k, own in enumerate(boxes)])
        regions = cat([numbers, cat(list(boxes))], dim=1)
        if len(self.strides) == 1:
            [(name, stride)] = self.strides.items()
            return roi_align(maps[name], regions, self.size, 1 / stride, _SAMPLES)
        levels = self.levels(regions[:, 1:])
        channels = maps[next(iter(self.strides))].shape[1]
        pooled = regions.new_zeros(len(regions), channels, self.size, self.size)
        for level, (name, stride) in enumerate(self.strides.items()):
            [own] = torch.where(levels == level)
            region_maps = roi_align(maps[name], regions[own], self.size, 1 / stride, _SAMPLES)
            pooled = pooled.index_put((own,), region_maps.to(pooled.dtype))
        return pooled

    def levels(self, boxes: Float[Tensor, "r 4"]) -> Tensor:
        """The index of the level of each box."""
        strides = torch.tensor(list(self.strides.values()), device=boxes.device, dtype=boxes.dtype)
        sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
        wanted = strides[-1] / 2 * sides / self.usual * (1 + 1e-6)
        return (torch.bucketize(wanted, strides, right=True) - 1).clamp(min=0)


class LastStage(nn.Module):
    """The map of a region -> its features: the last stage and the head of a network, without their own weights.

    The network is not a child of this module, so that its weights have one name.

    Shape: (regions, c, s, s) -> (regions, features).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = (network,)

    def forward(self, regions: Float[Tensor, "r c s s"]) -> Float[Tensor, "r d"]:
        """One row of features for each region."""
        [network] = self._network
        return network.end(_after_last_stage(network, regions))


class LastMaps(nn.Module):
    """The map of a region -> the map that the global pool of the network reads, for a mask of the region.

    In training these are the regions of objects alone; norms keep the running statistics of all regions, since in a
    test the boxes are found by them.

    Shape: (regions, c, s, s) -> (regions, d, s2, s2).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = (network,)

    def forward(self, regions: Float[Tensor, "r c s s"]) -> Float[Tensor, "r d s2 s2"]:
        """The map after the last stage, and after the norm and the relu with which a head may begin."""
        [network] = self._network
        if len(regions):
            with statistics_kept(network):
                return network.before_pool(_after_last_stage(network, regions))
        return no_maps(network.plan, regions)  # norms cannot take the statistics of no region


def no_maps(plan: Plan, regions: Float[Tensor, "0 c s s"]) -> Float[Tensor, "0 d s2 s2"]:
    """The maps before the global pool of no region."""
    units = plan.stages[-1]
    channels = plan.head[0].input.channels * plan.heads
    stride = units[0].input.height // units[-1].output.height
    side = -(-regions.shape[2] // stride)
    return regions.new_zeros(0, channels, side, side)


def _after_last_stage(network: Network, regions: Tensor) -> Streams:
    streams = split(regions, len(network.plan.stages[-1][0].streams))
    return run_unit(network.stages[-1], streams)
