"""A network as a convolution over larger images: its head at every window of the size that it was trained on.

A global pool followed by a linear classifier is, over a larger map, an average pool of the training's window at
stride 1 followed by a 1x1 convolution: the fully convolutional form of the VGG paper. The mean of the logits over these
windows is not the logits of the map pooled as a whole, since overlapping windows hold the middle more often than the
edges; over windows of a single place it would be, as the classifier is linear. No mean of softmax is either of them.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.arch.ops import GlobalPool
from resatlas.arch.plan import layers
from resatlas.nets.layers import GlobalPool2d
from resatlas.nets.network import Network


def window_logits(network: Network, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n p k"]:
    """The logits of each of the p windows of the last map, row by row; a network of several heads gives their mean."""
    sides = next((each.input.height, each.input.width) for _, each in layers(network.plan) if each.op == GlobalPool())
    heads = [network.head] if network.plan.heads == 1 else list(network.heads)
    seen: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[module] = given[0]

    pools = [next(each for each in head.children() if isinstance(each, GlobalPool2d)) for head in heads]
    handles = [pool.register_forward_pre_hook(keep) for pool in pools]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    logits = [_classified(head, pool, windows(seen[pool], sides)) for head, pool in zip(heads, pools, strict=True)]
    return sum(logits[1:], start=logits[0]) / len(logits)


def windows(maps: Float[Tensor, "n c h w"], sides: tuple[int, int]) -> Float[Tensor, "n p c"]:
    """The mean of every window of these sides, row by row."""
    return F.avg_pool2d(maps, sides, stride=1).flatten(2).transpose(1, 2)


def _classified(head: nn.Module, pool: nn.Module, means: Float[Tensor, "n p c"]) -> Float[Tensor, "n p k"]:
    """What comes after the pool in a head, at every place."""
    after = list(head.children())
    for module in after[after.index(pool) + 1 :]:
        means = module(means)
    return means
