"""A network as a convolution over larger images: its head at every window of the training size.

Over a larger map, a global pool and a linear classifier become an average pool of the training window at stride 1 and a
1x1 convolution: the fully convolutional form of the VGG paper. The mean of the logits over these windows differs from
the logits of the map pooled as a whole, since overlapping windows contain the middle more often than the edges. The two
would agree for windows of one place, as the classifier is linear; a mean of softmax agrees with neither.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.arch.ops import GlobalPool
from resatlas.arch.plan import layers
from resatlas.nets.layers import GlobalPool2d
from resatlas.nets.network import Network


def window_logits(network: Network, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n p k"]:
    """The logits of each of the p windows of the last map, row by row; the mean over the heads of a network."""
    sides = next(
        (layer.input.height, layer.input.width) for _, layer in layers(network.plan) if layer.op == GlobalPool()
    )
    heads = [network.head] if network.plan.heads == 1 else list(network.heads)
    maps: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        maps[module] = inputs[0]

    pools = [next(child for child in head.children() if isinstance(child, GlobalPool2d)) for head in heads]
    handles = [pool.register_forward_pre_hook(keep) for pool in pools]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    logits = [_classified(head, pool, _windows(maps[pool], sides)) for head, pool in zip(heads, pools, strict=True)]
    return sum(logits[1:], start=logits[0]) / len(logits)


def _windows(maps: Float[Tensor, "n c h w"], sides: tuple[int, int]) -> Float[Tensor, "n p c"]:
    """The mean of the map over every window of these sides, row by row."""
    return F.avg_pool2d(maps, sides, stride=1).flatten(2).transpose(1, 2)


def _classified(head: nn.Module, pool: nn.Module, means: Float[Tensor, "n p c"]) -> Float[Tensor, "n p k"]:
    """The modules of a head behind the pool, applied at every place."""
    after = list(head.children())
    for module in after[after.index(pool) + 1 :]:
        means = module(means)
    return means
