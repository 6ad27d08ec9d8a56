"""Small networks with every kind of unit, and random images."""

import torch
from torch import nn

from resatlas.arch.ops import Shape
from resatlas.data.loading import Batch
from resatlas.nets.network import Network, build

IMAGE = Shape(3, 8, 8)
LARGER = Shape(3, 32, 32)
CLASSES = 4

DESIGNS = (
    "resnet:depth=14,base=4",
    "resnet:depth=14,base=4,shortcut=B",
    "plain:depth=14,base=4",
    "resnet:depth=11,base=4,unit=bottleneck,shortcut=B",
    "resnet:depth=14,base=4,modified=scale-0.5-0.5",
    "resnet:depth=14,base=4,modified=exclusive-gate-b-1",
    "resnet:depth=14,base=4,modified=shortcut-gate-b-1",
    "resnet:depth=14,base=4,order=bn-after-add",
    "preact-resnet:depth=14,base=4",
    "preact-resnet:depth=20,base=4,unit=bottleneck",
    "wide-resnet:depth=10,base=4,widen=2,dropout=0.3",
    "resnext:depth=11,cardinality=2,width=8,base=16",
    "resnext:depth=11,cardinality=2,width=8,base=16,form=a",
    "resnext:depth=11,cardinality=2,width=8,base=16,form=b",
    "pyramidnet:depth=14,base=4,alpha=12",
    "dilnet:depth=14,base=4,branches=3",
    "dmrnet:depth=14,base=4",
    "dmrnet:depth=14,base=4,streams=3,join=sum",
    "dmrnet:depth=14,base=4,streams=3,join=concat",
    "dmrnet:depth=14,base=4,skip=identity",
    "dmrnet:depth=14,base=4,skip=swap,streams=3",
    "dmrnet:depth=14,base=4,skip=projector",
    "dmrnet:depth=14,base=4,ends=separate",
    "dmrnet:depth=50,base=4,version=ijcai",
)


def network(design: str, *, seed: int = 1) -> Network:
    """The network of a design, with running statistics of random images, in float64 and evaluation mode."""
    image = LARGER if "ijcai" in design else IMAGE
    net = build(design, image=image, classes=CLASSES, seed=seed).double().train()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.normal_(std=0.3, generator=torch.Generator().manual_seed(seed))
        net(noise(16, net).images)
    return net.eval()


def noise(count: int, net: Network, *, seed: int = 2) -> Batch:
    """Random images with random labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, *net.plan.image, generator=generator, dtype=torch.float64)
    return Batch(images, torch.randint(CLASSES, (count,), generator=generator), torch.arange(count))
