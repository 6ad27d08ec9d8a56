"""ResNet and its plain twins (arXiv:1512.03385)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.residual import Absent, Projection, Residual, Shortcut, ZeroPad, basic, bottleneck
from resatlas.arch.widths import doubling
from resatlas.designs.setting import (
    IMAGENET_BASIC,
    IMAGENET_UNITS,
    STAGES,
    Setting,
    equal_stages,
    listed_stages,
    paper_base,
    stem,
)

LABELS = {"resnet": "ResNet", "plain": "plain network"}

UnitKind = Literal["basic", "bottleneck"]
Option = Literal["A", "B", "C"]

SHORTCUTS: Mapping[Option, Shortcut] = {
    "A": ZeroPad(),
    "B": Projection(),
    "C": Projection(where="everywhere"),
}
"""Source: ResNet paper, section 4.1. Differs: zeros are appended at the end, as fb.resnet.torch does."""


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """y = relu(shortcut(x) + body(x)), batch normalisation after every convolution.

    Depth is 6n + 2 (basic) or 9n + 2 (bottleneck) on CIFAR, a row of Table 1 on ImageNet. `unit` and `shortcut`
    follow the paper where they are not given: basic with A on CIFAR; on ImageNet B, bottlenecks from depth 50.
    Source: ResNet paper, sections 3.3, 4.1, 4.2; DMRNet paper (arXiv:1611.07718), Table 3, for `widen`.
    Differs: initial weights by fan-out as in fb.resnet.torch; the paper cites He et al. without naming the fan.
    """

    family: ClassVar[str] = "resnet"
    depth: int
    setting: Setting = "cifar"
    unit: UnitKind | None = None
    shortcut: Option | None = None
    stride: Literal["first", "3x3"] = "first"
    widen: int = 1
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        option = self.shortcut or ("A" if self.setting == "cifar" and self.unit != "bottleneck" else "B")
        return _blueprint(self, SHORTCUTS[option])


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A ResNet without its shortcuts: as many parameters as with option A.

    Source: ResNet paper, sections 3.3 and 4.2.
    """

    family: ClassVar[str] = "plain"
    depth: int
    setting: Setting = "cifar"
    unit: UnitKind | None = None
    stride: Literal["first", "3x3"] = "first"
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
        units=residual_stages(f"a {LABELS[design.family]}", design.depth, setting, kind),
        widths=doubling(base * expansion, STAGES[setting]),
        residual=Residual(
            convs=bottleneck(strided=design.stride) if kind == "bottleneck" else basic(),
            shortcut=shortcut,
        ),
    )


def usual_unit(depth: int, setting: Setting) -> UnitKind:
    """Bottlenecks on ImageNet from depth 50, basic units elsewhere."""
    return "bottleneck" if setting == "imagenet" and depth not in IMAGENET_BASIC else "basic"


def residual_stages(what: str, depth: int, setting: Setting, unit: UnitKind) -> tuple[int, ...]:
    """Units per stage: 6n + 2 or 9n + 2 on CIFAR, by Table 1 on ImageNet.

    Raises: DepthError with the nearest depths.
    """
    if setting == "imagenet":
        return listed_stages(f"{what} for ImageNet", depth, IMAGENET_UNITS)
    if unit == "bottleneck":
        return equal_stages(f"{what} of bottlenecks for CIFAR", depth, step=9, rest=2)
    return equal_stages(f"{what} for CIFAR", depth, step=6, rest=2)


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?(?P<family>resnet|plain)-(?P<depth>\d{1,10})"
    r"(?P<unit>-bottleneck)?(?P<stride>-v1\.5)?(?:-(?P<shortcut>[ABC]))?(?:-w(?P<widen>\d{1,4}))?",
    re.ASCII,
)


def named(match: re.Match[str]) -> ResNet | Plain | None:
    """The network of a name; a bare depth of Table 1 is the ImageNet one."""
    depth = int(match["depth"])
    listed = depth in IMAGENET_UNITS and not match["unit"]
    setting: Setting = "imagenet" if match["setting"] == "imagenet-" or (listed and not match["setting"]) else "cifar"
    unit: UnitKind | None = "bottleneck" if match["unit"] else None
    stride: Literal["first", "3x3"] = "3x3" if match["stride"] else "first"
    widen = int(match["widen"] or 1)
    if match["family"] == "plain":
        return None if match["shortcut"] else Plain(depth=depth, setting=setting, unit=unit, stride=stride, widen=widen)
    options: dict[str | None, Option] = {"A": "A", "B": "B", "C": "C"}
    return ResNet(
        depth=depth, setting=setting, unit=unit, shortcut=options.get(match["shortcut"]), stride=stride, widen=widen
    )


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
    **{f"resnet-18-{option}": ResNet(depth=18, setting="imagenet", shortcut=option) for option in SHORTCUTS},
    **{f"resnet-34-{option}": ResNet(depth=34, setting="imagenet", shortcut=option) for option in SHORTCUTS},
    **{f"resnet-{depth}": ResNet(depth=depth, setting="imagenet") for depth in (50, 101, 152, 200)},
    "resnet-50-C": ResNet(depth=50, setting="imagenet", shortcut="C"),
    **{f"resnet-{depth}-v1.5": ResNet(depth=depth, setting="imagenet", stride="3x3") for depth in (50, 101, 152)},
}
