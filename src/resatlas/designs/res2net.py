"""Res2Net: the 3x3 of a bottleneck as a cascade of slices (arXiv:1904.01169)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.residual import Residual, bottleneck, cascaded
from resatlas.arch.widths import check_width, doubling
from resatlas.designs.family import Family, Grammar, Paper
from resatlas.designs.resnet import residual_stages
from resatlas.designs.tasks import IMAGENET_BASIC, IMAGENET_UNITS, STAGES, Setting, paper_base, setting_of, stem
from resatlas.errors import DepthError, WidthError

_MOST_SLICES = 256


@dataclass(frozen=True, kw_only=True)
class Res2Net:
    """Bottlenecks whose 3x3 is a cascade of `scale` slices, of `width` channels each in the first stage.

    y_1 = K_1(x_1), y_k = K_k(x_k + y_(k-1)), and the last slice as it is; in the first unit of a stage y_k = K_k(x_k),
    and the last slice is averaged. Later stages have twice the channels. Shortcut B.
    Source: paper, section 3, Fig. 2b and Table 3, which names 26 channels and 4 slices 26w x 4s; authors' code.
    Differs: the paper leaves the first slice as it is, the code the last; only the order of the channels differs.
    """

    family: ClassVar[str] = "res2net"
    depth: int
    width: int = 26
    scale: int = 4
    setting: Setting = "imagenet"
    base: int | None = None

    def __post_init__(self) -> None:
        check_width(self.width)
        if not 2 <= self.scale <= _MOST_SLICES:
            raise WidthError(f"a Res2Net has a scale of 2 to {_MOST_SLICES} slices; got {self.scale}")
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        if self.setting == "imagenet" and self.depth in IMAGENET_BASIC:
            raise DepthError(f"a Res2Net has bottlenecks, so a depth of 50, 101, 152 or 200; got {self.depth}")
        base = paper_base(self.setting) if self.base is None else self.base
        convs = bottleneck(Fraction(self.width * self.scale, 4 * base))
        return Blueprint(
            stem=stem(self.setting, base),
            units=residual_stages("a Res2Net", self.depth, self.setting, "bottleneck"),
            widths=doubling(4 * base, STAGES[self.setting]),
            residual=cascaded(Residual(convs=convs), self.scale),
        )


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?res2net-(?P<depth>\d{1,10})-(?P<width>\d{1,5})w-(?P<scale>\d{1,3})s", re.ASCII
)


def named(match: re.Match[str]) -> Res2Net:
    """The network of a name; a depth of the ImageNet table is the ImageNet one."""
    depth = int(match["depth"])
    return Res2Net(
        depth=depth,
        width=int(match["width"]),
        scale=int(match["scale"]),
        setting=setting_of(match["setting"], listed=depth in IMAGENET_UNITS),
    )


NAMED: Mapping[str, Res2Net] = {
    f"res2net-{depth}-{width}w-{scale}s": Res2Net(depth=depth, width=width, scale=scale)
    for depth, width, scale in ((50, 48, 2), (50, 26, 4), (50, 14, 8), (50, 26, 6), (50, 26, 8), (101, 26, 4))
}

RES2NET_PAPER = Paper(
    key="gao2021res2net",
    title="Res2Net: A New Multi-Scale Backbone Architecture",
    authors=("Shang-Hua Gao", "Ming-Ming Cheng", "Kai Zhao", "Xin-Yu Zhang", "Ming-Hsuan Yang", "Philip Torr"),
    booktitle="IEEE Transactions on Pattern Analysis and Machine Intelligence (TPAMI)",
    kind="article",
    year=2021,
    arxiv="1904.01169",
    used_in=lambda blueprint: blueprint.residual.merge == "cascade",
)

RES2NET = Family(
    design=Res2Net,
    grammar=Grammar(pattern=NAME, read=named, head="res2net-{depth}-{width}w-{scale}s"),
    named=NAMED,
    paper=RES2NET_PAPER,
    sizes={"depth": range(1, 201), "width": range(1, 65), "scale": range(2, 9)},
    colour="#AA4499",
    shape="M0,-1L0.87,-0.5L0.87,0.5L0,1L-0.87,0.5L-0.87,-0.5Z",
    label="Res2Net",
    sources=lambda design: (f"{RES2NET_PAPER}: section 3, {design.width}w x {design.scale}s.",),
    recipes=("res2net-imagenet",),
    peers={name.replace("res2net-", "res2net").replace("-", "_"): name for name in NAMED},
)
