"""ResNet-C and ResNet-D, two of the tweaks of the bag of tricks (arXiv:1812.01187)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.residual import Projection, Residual
from resatlas.arch.widths import doubling
from resatlas.designs.family import Family, Grammar, Paper
from resatlas.designs.resnet import residual_stages, unit_convs, usual_unit
from resatlas.designs.tasks import IMAGENET_UNITS, STAGES, Setting, paper_base, setting_of, stem
from resatlas.errors import WidthError

Tweak = Literal["c", "d"]


@dataclass(frozen=True, kw_only=True)
class TweakedResNet:
    """A ResNet behind a stem of three 3x3, with the stride of bottlenecks on the 3x3.

    c: the stem alone, base/2, base/2 and base channels, stride 2 on its first convolution. d: also an average pool of
    2x2 before a projection that halves the map, which is then a 1x1 without stride.
    Source: paper, section 4 and Fig. 2; each network of Table 5 has the tweaks of those before it.
    Differs: the paper has depth 50; other depths as in timm. Basic units of depth 18 and 34 take the stride first.
    """

    family: ClassVar[str] = "tweaked-resnet"
    depth: int
    tweak: Tweak = "d"
    setting: Setting = "imagenet"
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        kind = usual_unit(self.depth, self.setting)
        base = paper_base(self.setting) if self.base is None else self.base
        if base % 2:
            raise WidthError(
                f"the stem of a tweaked ResNet begins with base/2 channels; {base} is odd, take {base + 1}"
            )
        usual = stem(self.setting, base)
        return Blueprint(
            stem=replace(usual, kernel=3, lead=(base // 2, base // 2)),
            units=residual_stages("a tweaked ResNet", self.depth, self.setting, kind),
            widths=doubling(base * (4 if kind == "bottleneck" else 1), STAGES[self.setting]),
            residual=Residual(
                convs=unit_convs(kind, "3x3" if kind == "bottleneck" else "first"),
                shortcut=Projection(subsample="average" if self.tweak == "d" else "stride"),
            ),
        )


NAME = re.compile(r"(?P<setting>cifar-|imagenet-)?resnet-(?P<depth>\d{1,10})-(?P<tweak>[cd])", re.ASCII)


def named(match: re.Match[str]) -> TweakedResNet:
    """The network of a name; a depth of the ImageNet table is the ImageNet one."""
    depth = int(match["depth"])
    return TweakedResNet(
        depth=depth,
        tweak="c" if match["tweak"] == "c" else "d",
        setting=setting_of(match["setting"], listed=depth in IMAGENET_UNITS),
    )


NAMED: Mapping[str, TweakedResNet] = {
    "resnet-50-c": TweakedResNet(depth=50, tweak="c"),
    **{f"resnet-{depth}-d": TweakedResNet(depth=depth) for depth in IMAGENET_UNITS},
}


def _used_in(blueprint: Blueprint) -> bool:
    """A stem of several convolutions, or projections behind an average pool."""
    shortcut = blueprint.residual.shortcut
    return bool(blueprint.stem.lead or (isinstance(shortcut, Projection) and shortcut.subsample == "average"))


BAG_OF_TRICKS = Paper(
    key="he2019bag",
    title="Bag of Tricks for Image Classification with Convolutional Neural Networks",
    authors=("Tong He", "Zhi Zhang", "Hang Zhang", "Zhongyue Zhang", "Junyuan Xie", "Mu Li"),
    booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2019,
    arxiv="1812.01187",
    used_in=_used_in,
)


def _sources(design: TweakedResNet) -> tuple[str, ...]:
    return (f"{BAG_OF_TRICKS}: section 4, ResNet-{design.tweak.upper()} of Fig. 2.",)


TWEAKED_RESNET = Family(
    design=TweakedResNet,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="resnet-{depth}-{tweak}",
    ),
    named=NAMED,
    paper=BAG_OF_TRICKS,
    sizes={"depth": range(1, 201)},
    colour="#882255",
    shape="wedge",
    label="TweakedResNet",
    sources=_sources,
    recipes=("bag-of-tricks-imagenet", "bag-of-tricks-imagenet-mixup"),
    peers={"resnet50c": "resnet-50-c", **{f"resnet{depth}d": f"resnet-{depth}-d" for depth in IMAGENET_UNITS}},
)
