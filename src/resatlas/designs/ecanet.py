"""ECA-ResNet: attention by a convolution along the channels (arXiv:1910.03151)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.residual import ChannelAttention
from resatlas.designs.family import Family, Grammar, Paper
from resatlas.designs.resnet import ResNet, usual_unit
from resatlas.designs.resnet_d import TweakedResNet
from resatlas.designs.tasks import IMAGENET_UNITS, Setting, setting_of


@dataclass(frozen=True, kw_only=True)
class EcaResNet:
    """A ResNet, or a ResNet-D, whose bodies are weighted per channel by channel attention.

    Source: paper, section 3; the stride of bottlenecks is on the 3x3.
    Differs: the D is not in the paper; it is as in timm.
    """

    family: ClassVar[str] = "eca-resnet"
    depth: int
    tweak: Literal["original", "d"] = "original"
    setting: Setting = "imagenet"
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        if self.tweak == "d":
            plain = TweakedResNet(depth=self.depth, setting=self.setting, base=self.base).blueprint()
        else:
            bottlenecks = usual_unit(self.depth, self.setting) == "bottleneck"
            plain = ResNet(
                depth=self.depth,
                setting=self.setting,
                shortcut="B",
                stride="3x3" if bottlenecks else "first",
                base=self.base,
            ).blueprint()
        return replace(plain, residual=replace(plain.residual, attention=ChannelAttention()))


NAME = re.compile(r"(?P<setting>cifar-|imagenet-)?eca-resnet-(?P<depth>\d{1,10})(?P<tweak>-d)?", re.ASCII)


def named(match: re.Match[str]) -> EcaResNet:
    """The network of a name; a depth of the ImageNet table is the ImageNet one."""
    depth = int(match["depth"])
    return EcaResNet(
        depth=depth,
        tweak="d" if match["tweak"] else "original",
        setting=setting_of(match["setting"], listed=depth in IMAGENET_UNITS),
    )


NAMED: Mapping[str, EcaResNet] = {
    **{f"eca-resnet-{depth}": EcaResNet(depth=depth) for depth in (18, 34, 50, 101, 152)},
    **{f"eca-resnet-{depth}-d": EcaResNet(depth=depth, tweak="d") for depth in (50, 101)},
}

ECA = Paper(
    key="wang2020eca",
    title="ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
    authors=("Qilong Wang", "Banggu Wu", "Pengfei Zhu", "Peihua Li", "Wangmeng Zuo", "Qinghua Hu"),
    booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2020,
    arxiv="1910.03151",
    used_in=lambda blueprint: isinstance(blueprint.residual.attention, ChannelAttention),
)

ECA_RESNET = Family(
    design=EcaResNet,
    grammar=Grammar(pattern=NAME, read=named, head="eca-resnet-{depth}", ends={"tweak": {"d": "-d"}}),
    named=NAMED,
    paper=ECA,
    sizes={"depth": range(1, 201)},
    colour="#44AA99",
    shape="M-0.4,-1L0.4,-1L1,-0.4L1,0.4L0.4,1L-0.4,1L-1,0.4L-1,-0.4Z",
    label="ECAResNet",
    sources=lambda _: (f"{ECA}: section 3.",),
    recipes=("resnet-imagenet",),
    peers={"ecaresnet50d": "eca-resnet-50-d", "ecaresnet101d": "eca-resnet-101-d"},
)
