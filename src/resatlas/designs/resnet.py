"""ResNet and its plain twins (arXiv:1512.03385)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from resatlas.arch.blueprint import Blueprint, Head
from resatlas.arch.ops import Conv, Relu, Scale
from resatlas.arch.residual import (
    BEFORE_POOL,
    ORDERS,
    Absent,
    Projection,
    Residual,
    Shortcut,
    ZeroPad,
    basic,
    bottleneck,
    modified,
)
from resatlas.arch.widths import doubling
from resatlas.designs.family import Family, Grammar, Paper, kinds
from resatlas.designs.tasks import (
    IMAGENET_BASIC,
    IMAGENET_UNITS,
    STAGES,
    Setting,
    equal_stages,
    listed_stages,
    paper_base,
    setting_of,
    stem,
)
from resatlas.errors import DesignError

_LABELS = {"resnet": "ResNet", "plain": "plain network"}

UnitKind = Literal["basic", "bottleneck", "single"]
"""Two 3x3; 1x1, 3x3 and 1x1; one 3x3, the 1-layer skip of the pre-activation paper, Table 3."""

StridePlace = Literal["first", "3x3"]
Option = Literal["A", "A-sides", "B", "C"]

_SHORTCUTS: Mapping[Option, Shortcut] = {
    "A": ZeroPad(),
    "A-sides": ZeroPad(place="sides"),
    "B": Projection(),
    "C": Projection(where="everywhere"),
}
"""Source: ResNet paper, section 4.1. Differs: the paper does not say where the zeros go. In A they stand at the end, as
in fb.resnet.torch; in A-sides half on each side, as in akamaster/pytorch_resnet_cifar10."""


PostOrder = Literal["post-activation", "bn-after-add", "relu-before-add", "relu-only-preact"]
_POST_ORDERS: tuple[PostOrder, ...] = get_args(PostOrder)
"""Orders of a unit behind an activated stem: (a) to (d) of the pre-activation paper, Table 2."""


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """y = relu(shortcut(x) + body(x)), batch normalisation after every convolution.

    Depth is 6n + 2 (basic, single) or 9n + 2 (bottleneck) on CIFAR, a row of Table 1 on ImageNet. `unit` and
    `shortcut` follow the paper where they are not given: basic with A on CIFAR; on ImageNet B, bottlenecks from
    depth 50. `order` and `modified` are the ablations of the pre-activation paper (arXiv:1603.05027), Tables 1 and 2:
    see `arch.residual.ORDERS` and `arch.residual.modified`.
    Source: ResNet paper, sections 3.3, 4.1, 4.2; DMRNet paper (arXiv:1611.07718), Table 3, for `widen`.
    Differs: initial weights by fan-out as in fb.resnet.torch; the paper cites He et al. without naming the fan.
    """

    family: ClassVar[str] = "resnet"
    depth: int
    setting: Setting = "cifar"
    unit: UnitKind | None = None
    shortcut: Option | None = None
    stride: StridePlace = "first"
    order: PostOrder = "post-activation"
    modified: str = "none"
    widen: int = 1
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        if self.order not in _POST_ORDERS:
            raise DesignError(f"order \"{self.order}\" is a preact-resnet's; a resnet's are {', '.join(_POST_ORDERS)}")
        option = self.shortcut or ("A" if self.setting == "cifar" and self.unit != "bottleneck" else "B")
        whole = _blueprint(self, _SHORTCUTS[option])
        residual = modified(replace(whole.residual, order=ORDERS[self.order]), self.modified)
        return replace(whole, residual=residual, head=Head(before=BEFORE_POOL[self.order]))


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A ResNet without its shortcuts: as many parameters as with option A.

    Source: ResNet paper, sections 3.3 and 4.2.
    """

    family: ClassVar[str] = "plain"
    depth: int
    setting: Setting = "cifar"
    unit: UnitKind | None = None
    stride: StridePlace = "first"
    widen: int = 1
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        return _blueprint(self, Absent())


def _blueprint(design: ResNet | Plain, shortcut: Shortcut) -> Blueprint:
    setting = design.setting
    kind = design.unit or usual_unit(design.depth, setting)
    base = (paper_base(setting) if design.base is None else design.base) * design.widen
    expansion = 4 if kind == "bottleneck" else 1
    return Blueprint(
        stem=stem(setting, base),
        units=residual_stages(f"a {_LABELS[design.family]}", design.depth, setting, kind),
        widths=doubling(base * expansion, STAGES[setting]),
        residual=Residual(convs=unit_convs(kind, design.stride), shortcut=shortcut),
    )


def unit_convs(unit: UnitKind, stride: StridePlace) -> tuple[Conv, ...]:
    """The convolutions of a unit.

    Raises: DesignError if a unit without bottleneck has a `stride` other than "first".
    """
    if unit == "bottleneck":
        return bottleneck(strided=stride)
    if stride != "first":
        raise DesignError(f"only a bottleneck can have its stride on the 3x3 in the middle; this unit is {unit}")
    return basic() if unit == "basic" else basic((3,))


def usual_unit(depth: int, setting: Setting) -> UnitKind:
    """Bottlenecks on ImageNet from depth 50, basic units elsewhere."""
    return "bottleneck" if setting == "imagenet" and depth not in IMAGENET_BASIC else "basic"


def residual_stages(what: str, depth: int, setting: Setting, unit: UnitKind) -> tuple[int, ...]:
    """Units per stage: (depth - 2)/6, /9 of bottlenecks, /3 of single convolutions; by Table 1 on ImageNet.

    Raises: DepthError with the nearest depths.
    """
    if setting == "imagenet":
        if unit == "single":
            raise DesignError(f"{what} for ImageNet has basic units or bottlenecks; single ones are for CIFAR")
        return listed_stages(f"{what} for ImageNet", depth, IMAGENET_UNITS)
    if unit == "bottleneck":
        return equal_stages(f"{what} of bottlenecks for CIFAR", depth, step=9, rest=2)
    units = equal_stages(f"{what} for CIFAR", depth, step=6, rest=2)
    return tuple(2 * count for count in units) if unit == "single" else units


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?(?P<family>resnet|plain)-(?P<depth>\d{1,10})"
    r"(?P<unit>-bottleneck|-1-layer-skip)?(?P<stride>-v1\.5)?(?:-(?P<shortcut>A-sides|[ABC]))?(?:-w(?P<widen>\d{1,4}))?"
    rf"(?:-(?P<order>{'|'.join(_POST_ORDERS)}))?(?:-shortcut-(?P<modified>[a-z][a-z0-9.-]{{1,40}}))?",
    re.ASCII,
)

UNITS: Mapping[str | None, UnitKind | None] = {None: None, "-bottleneck": "bottleneck", "-1-layer-skip": "single"}


def named(match: re.Match[str]) -> ResNet | Plain | None:
    """The network of a name; a bare depth of Table 1 is the ImageNet one."""
    depth = int(match["depth"])
    listed = depth in IMAGENET_UNITS and not match["unit"]
    setting = setting_of(match["setting"], listed=listed)
    unit = UNITS[match["unit"]]
    stride: StridePlace = "3x3" if match["stride"] else "first"
    widen = int(match["widen"] or 1)
    if match["family"] == "plain":
        if match["shortcut"] or match["order"] or match["modified"]:
            return None
        return Plain(depth=depth, setting=setting, unit=unit, stride=stride, widen=widen)
    word = match["modified"] or "none"
    if word == "conv1x1" and match["shortcut"]:
        return None
    return ResNet(
        depth=depth,
        setting=setting,
        unit=unit,
        shortcut="C"
        if word == "conv1x1"
        else next((option for option in _SHORTCUTS if option == match["shortcut"]), None),
        stride=stride,
        order=next((order for order in _POST_ORDERS if order == match["order"]), "post-activation"),
        modified="none" if word == "conv1x1" else word,
        widen=widen,
    )


_MODIFIED = (
    *("scale-0.5-1", "scale-0.5-0.5"),
    *(f"exclusive-gate-b{bias}" for bias in range(0, -8, -1)),
    *("shortcut-gate-b0", "shortcut-gate-b-6", "dropout-0.5"),
)
"""Source: pre-activation paper, Table 1."""

_TWINS = (14, 20, 26, 32, 38, 44, 56, 62, 74, 86, 98, 110)

NAMED: Mapping[str, ResNet | Plain] = {
    **{f"plain-{depth}": Plain(depth=depth) for depth in _TWINS},
    "cifar-plain-50": Plain(depth=50),
    **{f"resnet-{depth}": ResNet(depth=depth) for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"resnet-{depth}-B": ResNet(depth=depth, shortcut="B") for depth in _TWINS},
    "cifar-resnet-50-B": ResNet(depth=50, shortcut="B"),
    **{f"resnet-{depth}-B-w4": ResNet(depth=depth, shortcut="B", widen=4) for depth in (62, 98)},
    **{f"resnet-{depth}-bottleneck": ResNet(depth=depth, unit="bottleneck") for depth in (164, 1001)},
    **{f"plain-{depth}": Plain(depth=depth, setting="imagenet") for depth in (18, 34)},
    **{f"resnet-18-{option}": ResNet(depth=18, setting="imagenet", shortcut=option) for option in ("A", "B", "C")},
    **{f"resnet-34-{option}": ResNet(depth=34, setting="imagenet", shortcut=option) for option in ("A", "B", "C")},
    **{f"resnet-{depth}": ResNet(depth=depth, setting="imagenet") for depth in (50, 101, 152, 200)},
    **{f"resnet-110-{order}": ResNet(depth=110, order=order) for order in _POST_ORDERS[1:]},
    **{
        f"resnet-164-bottleneck-{order}": ResNet(depth=164, unit="bottleneck", order=order)
        for order in _POST_ORDERS[1:]
    },
    "resnet-101-bn-after-add": ResNet(depth=101, setting="imagenet", order="bn-after-add"),
    **{f"resnet-110-shortcut-{word}": ResNet(depth=110, modified=word) for word in _MODIFIED},
    "resnet-110-C": ResNet(depth=110, shortcut="C"),
    "resnet-110-1-layer-skip": ResNet(depth=110, unit="single"),
    "resnet-110-A-sides": ResNet(depth=110, shortcut="A-sides"),
    "resnet-50-C": ResNet(depth=50, setting="imagenet", shortcut="C"),
    **{f"resnet-{depth}-v1.5": ResNet(depth=depth, setting="imagenet", stride="3x3") for depth in (50, 101, 152)},
}


def _everywhere(_blueprint: Blueprint) -> bool:
    """All networks: stages of units with shortcuts, or their plain twins."""
    return True


def _identity_mappings(blueprint: Blueprint) -> bool:
    """Ops before the first convolution, no relu at the end, a changed shortcut, or units of one convolution."""
    unit, order = blueprint.residual, blueprint.residual.order
    changed = order.shortcut or unit.gate or Scale in kinds(order.merged)
    single = len(unit.convs) == 1 and unit.merge != "cascade"
    return bool(order.ahead or changed or order.after_sum != (Relu(),) or single)


_DEEP_RESIDUAL = Paper(
    key="he2016deep",
    title="Deep Residual Learning for Image Recognition",
    authors=("Kaiming He", "Xiangyu Zhang", "Shaoqing Ren", "Jian Sun"),
    booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2016,
    arxiv="1512.03385",
    used_in=_everywhere,
)

IDENTITY_MAPPINGS = Paper(
    key="he2016identity",
    title="Identity Mappings in Deep Residual Networks",
    authors=("Kaiming He", "Xiangyu Zhang", "Shaoqing Ren", "Jian Sun"),
    booktitle="European Conference on Computer Vision (ECCV)",
    year=2016,
    arxiv="1603.05027",
    used_in=_identity_mappings,
)
"""The paper of `preact_resnet`, whose ablations are designs here."""


def _sources(design: ResNet) -> tuple[str, ...]:
    option = design.shortcut or ("A" if design.setting == "cifar" and design.unit != "bottleneck" else "B")
    lines = [f"{_DEEP_RESIDUAL}: {_place(design.setting)}, shortcuts of option {option[0]} (section 4.1)."]
    if design.unit == "single":
        lines.append(f"{IDENTITY_MAPPINGS}: Table 3, skips of one layer.")
    if design.order != "post-activation":
        lines.append(f"{IDENTITY_MAPPINGS}: Table 2, {design.order}.")
    if design.modified != "none":
        lines.append(f"{IDENTITY_MAPPINGS}: Table 1, the shortcut modified by {design.modified}.")
    return tuple(lines)


def _place(setting: Setting) -> str:
    """Where the paper describes its networks for these images."""
    return "section 4.2" if setting == "cifar" else "section 3.3 and Table 1"


def _plain_sources(design: Plain) -> tuple[str, ...]:
    return (f"{_DEEP_RESIDUAL}: the plain networks of {_place(design.setting)}.",)


HOME_RECIPES = (
    "resnet-cifar",
    "resnet-cifar-warm-up",
    "stochastic-depth-cifar",
    "resnet-imagenet",
    "fb-cifar",
    "fb-imagenet",
    "preact-cifar",
    "preact-cifar-code",
    "preact-imagenet",
)
"""The recipes of fb.resnet.torch and of both papers, for all three families."""

UNIT_ENDS = {"bottleneck": "-bottleneck", "single": "-1-layer-skip"}
STRIDE_ENDS = {"3x3": "-v1.5"}

RESNET = Family(
    design=ResNet,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="resnet-{depth}",
        ends={
            "unit": UNIT_ENDS,
            "stride": STRIDE_ENDS,
            "shortcut": "-{}",
            "widen": "-w{}",
            "order": "-{}",
            "modified": "-shortcut-{}",
        },
    ),
    named=NAMED,
    paper=_DEEP_RESIDUAL,
    sizes={"depth": range(1, 1203), "widen": range(1, 17)},
    colour="#0072b2",
    shape="circle",
    label="ResNet",
    sources=_sources,
    recipes=HOME_RECIPES,
    peers={
        "resnet18": "resnet-18",
        "resnet34": "resnet-34",
        **{f"resnet{depth}": f"resnet-{depth}-v1.5" for depth in (50, 101, 152, 200)},
    },
)

PLAIN = Family(
    design=Plain,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="plain-{depth}",
        ends={"unit": UNIT_ENDS, "stride": STRIDE_ENDS, "widen": "-w{}"},
    ),
    paper=_DEEP_RESIDUAL,
    sizes={"depth": range(1, 111), "widen": range(1, 17)},
    colour="#d55e00",
    shape="square",
    label="PlainNet",
    sources=_plain_sources,
    recipes=HOME_RECIPES,
)
