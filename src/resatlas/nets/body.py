"""A network without its head, as a sequence of levels for the feature pyramids of other libraries."""

from collections import OrderedDict

from torch import nn

from resatlas.nets.network import Network
from resatlas.nets.row import before_pool


def body(network: Network) -> nn.Sequential:
    """The stem and the stages as children `stem`, `stages_0`, `stages_1`, …, each from one tensor to one tensor.

    They share the weights of the network, and their outputs are those of `network.features`. Several streams are
    concatenated along the channels; the last child has the layers before the global pool. This is the `backbone` of
    torchvision's BackboneWithFPN:

        levels = resatlas.levels(network.plan)[1:]
        body = resatlas.body(network)
        layers = {f"stages_{level.stage}": str(level.stage) for level in levels}
        BackboneWithFPN(body, layers, [level.channels for level in levels], 256)

    Shape: (n, channels, height, width) -> (n, d, h, w), channels and strides as in `resatlas.levels`.
    """
    stem, *_ = network.children()
    stages = OrderedDict((f"stages_{s}", stage) for s, stage in enumerate(network.stages.children()))
    last, module = stages.popitem()
    stages[last] = nn.Sequential(OrderedDict(stage=module, before_pool=before_pool(network.own_heads)))
    return nn.Sequential(OrderedDict([("stem" if network.plan.stems == 1 else "stems", stem), *stages.items()]))
