"""Wide ResNet (arXiv:1605.07146 v4)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

from resatlas.arch.blueprint import Blueprint, Head, Initial
from resatlas.arch.ops import Dropout, Norm, Relu
from resatlas.arch.residual import PRE_ACTIVATION, Ordering, Projection, Residual, basic, bottleneck
from resatlas.arch.widths import PerStage, doubling
from resatlas.designs.family import Family, Grammar, Paper, kinds
from resatlas.designs.tasks import (
    IMAGENET_BASIC,
    IMAGENET_UNITS,
    Setting,
    equal_stages,
    listed_stages,
    paper_base,
    setting_of,
    stem,
)
from resatlas.errors import DesignError, WidthError

_INITIAL = Initial(fan="in", scale="uniform")
"""Source: authors' models/utils.lua; scales start at Torch's default U(0, 1), which the code never overwrites."""


_DROPOUT = 0.3
"""Source: paper, section 3, on CIFAR; 0.4 on SVHN."""


@dataclass(frozen=True, kw_only=True)
class WideResNet:
    """Pre-activation units `widen` times as wide; dropout, if any, before every convolution but the first.

    CIFAR: depth 6n + 4 with n units a stage, for every block type; `kernels` 33, 313, 131, 13, 31, 311 are the
    types B(…) of section 2.1. With `deepening` l the units have l 3x3 convolutions and n is (depth - 4)/(3l).
    The shortcut is a bare 1x1 convolution of the pre-activated tensor where the width or the map changes.
    ImageNet: post-activation ResNets with option B; 18 and 34 are `widen` times as wide behind a stem of 64,
    deeper ones widen the inner convolutions only, with the stride on the 3x3.
    Source: paper, sections 2 and 3; authors' models/wide-resnet.lua and pretrained/wide-resnet.lua.
    Differs: for 3-convolution types the paper's depth labels do not count the real convolutions; its parameters
    need n from 6n + 4, which we follow.
    """

    family: ClassVar[str] = "wide-resnet"
    depth: int
    widen: Fraction = Fraction(1)
    setting: Setting = "cifar"
    kernels: str = "33"
    deepening: int = 2
    dropout: float = 0.0
    base: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[13]{1,8}", self.kernels):
            raise DesignError(f'kernels are a word of 1s and 3s, such as 33 or 131; got "{self.kernels[:20]}"')
        if not 1 <= self.deepening <= 32:
            raise DesignError(f"a wide ResNet has 1 to 32 convolutions per unit; got {self.deepening}")
        if self.kernels != "33" and self.deepening != 2:
            raise DesignError("kernels and deepening both set the convolutions of a unit; give one of them")
        if not 0 < self.widen <= 1024:
            raise WidthError(f"a wide ResNet has widen between 0 and 1024; got {self.widen}")
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        return self._cifar() if self.setting == "cifar" else self._imagenet()

    def _cifar(self) -> Blueprint:
        base = paper_base("cifar") if self.base is None else self.base
        kernels = [int(kernel) for kernel in self.kernels] if self.deepening == 2 else [3] * self.deepening
        return Blueprint(
            stem=stem("cifar", base, ()),
            units=equal_stages("a wide ResNet", self.depth, step=3 * self.deepening, rest=4),
            widths=doubling(_whole(base * self.widen), 3),
            residual=Residual(
                convs=basic(kernels),
                order=self._order(),
                shortcut=Projection(after=()),
                shares=("projected",),
            ),
            head=Head(before=(Norm(), Relu())),
            initial=_INITIAL,
        )

    def _order(self) -> Ordering:
        if not self.dropout:
            return PRE_ACTIVATION
        return replace(PRE_ACTIVATION, between=(Norm(), Relu(), Dropout(self.dropout)))

    def _imagenet(self) -> Blueprint:
        if self.dropout or self.kernels != "33" or self.deepening != 2:
            raise DesignError("a wide ResNet for ImageNet has no dropout, kernels or deepening; CIFAR ones have")
        base = paper_base("imagenet") if self.base is None else self.base
        thin = self.depth in IMAGENET_BASIC
        width = base * self.widen if thin else Fraction(4 * base)
        return Blueprint(
            stem=stem("imagenet", base),
            units=listed_stages("a wide ResNet for ImageNet", self.depth, IMAGENET_UNITS),
            widths=PerStage(tuple(_whole(width * 2**stage) for stage in range(4))),
            residual=Residual(convs=basic() if thin else bottleneck(self.widen / 4)),
        )


def _whole(width: Fraction) -> int:
    if width.denominator != 1:
        raise WidthError(f"widths are whole numbers of channels; base times widen gives {width}")
    return width.numerator


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?wrn-(?P<depth>\d{1,10})-(?P<widen>\d{1,4}(?:\.\d{1,4})?)"
    r"(?:-B(?P<kernels>[13]{1,8})|-l(?P<deepening>\d{1,2}))?(?P<dropout>-dropout)?",
    re.ASCII,
)


def named(match: re.Match[str]) -> WideResNet:
    """The network of a name; a depth that is no 6n + 4 but in the ImageNet table from 50 on is the ImageNet one."""
    depth = int(match["depth"])
    bare = depth in IMAGENET_UNITS and depth not in IMAGENET_BASIC and depth % 6 != 4
    return WideResNet(
        depth=depth,
        widen=Fraction(match["widen"]),
        setting=setting_of(match["setting"], listed=bare),
        kernels=match["kernels"] or "33",
        deepening=int(match["deepening"] or 2),
        dropout=_DROPOUT if match["dropout"] else 0.0,
    )


def _wrn(depth: int, widen: int) -> tuple[str, WideResNet]:
    return f"wrn-{depth}-{widen}", WideResNet(depth=depth, widen=Fraction(widen))


def _block_type(depth: int, kernels: str) -> tuple[str, WideResNet]:
    return f"wrn-{depth}-2-B{kernels}", WideResNet(depth=depth, widen=Fraction(2), kernels=kernels)


def _imagenet(depth: int, widen: str) -> WideResNet:
    return WideResNet(depth=depth, widen=Fraction(widen), setting="imagenet")


_DROPPED = ((16, 4), (28, 10), (52, 1), (40, 10))
"""Source: paper, Tables 6 and 9."""

NAMED: Mapping[str, WideResNet] = {
    **dict(_wrn(16, k) for k in (1, 2, 4, 8, 10)),
    **dict(_wrn(22, k) for k in (8, 10)),
    **dict(_wrn(28, k) for k in (2, 10, 12)),
    **dict(_wrn(40, k) for k in (1, 2, 4, 8, 10)),
    **dict([_wrn(52, 1)]),
    **{f"wrn-{d}-{k}-dropout": WideResNet(depth=d, widen=Fraction(k), dropout=_DROPOUT) for d, k in _DROPPED},
    **dict(_block_type(40, kernels) for kernels in ("131", "31", "13", "311")),
    **dict([_block_type(28, "33"), _block_type(22, "313")]),
    **{f"wrn-40-2-l{convs}": WideResNet(depth=40, widen=Fraction(2), deepening=convs) for convs in (1, 2, 3, 4)},
    **{f"imagenet-wrn-18-{widen}": _imagenet(18, widen) for widen in ("1", "1.5", "2", "3")},
    **{f"imagenet-wrn-34-{widen}": _imagenet(34, widen) for widen in ("1", "1.5", "2", "3")},
    **{f"wrn-{depth}-2": _imagenet(depth, "2") for depth in (50, 101)},
}


def _used_in(blueprint: Blueprint) -> bool:
    """Dropout between the convolutions, or stages of undivided convolutions wider than the stem."""
    unit, widths = blueprint.residual, blueprint.widths
    divided = unit.bodies > 1 or any(conv.groups > 1 or conv.group_width for conv in unit.convs)
    wider = isinstance(widths, PerStage) and widths.widths[0] * unit.convs[0].width > blueprint.stem.width
    return Dropout in kinds(unit.order.between) or (wider and not divided)


_PAPER = Paper(
    key="zagoruyko2016wide",
    title="Wide Residual Networks",
    authors=("Sergey Zagoruyko", "Nikos Komodakis"),
    booktitle="British Machine Vision Conference (BMVC)",
    year=2016,
    arxiv="1605.07146",
    used_in=_used_in,
)


def _sources(design: WideResNet) -> tuple[str, ...]:
    if design.setting == "imagenet":
        return (f"{_PAPER}: section 3, the networks for ImageNet; authors' pretrained/wide-resnet.lua.",)
    kernels = design.kernels if design.deepening == 2 else "3" * design.deepening
    dropped = " with dropout (section 2.4)" if design.dropout else ""
    return (f"{_PAPER}: Table 1, blocks B({','.join(kernels)}) of section 2.1{dropped}.",)


WIDE_RESNET = Family(
    design=WideResNet,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="wrn-{depth}-{widen}",
        ends={"kernels": "-B{}", "deepening": "-l{}", "dropout": {"0.3": "-dropout"}},
    ),
    named=NAMED,
    paper=_PAPER,
    sizes={"depth": range(1, 201), "widen": range(1, 17)},
    colour="#009e73",
    shape="diamond",
    label="WideResNet",
    sources=_sources,
    recipes=(
        "wrn-cifar",
        "wrn-cifar-paper",
        "wrn-cifar-zca",
        "wrn-svhn",
        "wrn-svhn-paper",
        "wrn-imagenet",
        "wrn-imagenet-100",
    ),
    peers={"wide_resnet50_2": "wrn-50-2", "wide_resnet101_2": "wrn-101-2"},
    spellings="wrn|wide-?resnet",
)
