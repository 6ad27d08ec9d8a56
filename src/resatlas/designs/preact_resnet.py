"""ResNet with full pre-activation (arXiv:1603.05027)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from resatlas.arch.blueprint import Blueprint, Head
from resatlas.arch.ops import Norm, Relu
from resatlas.arch.residual import PRE_ACTIVATION, Projection, Residual, ZeroPad, basic, bottleneck
from resatlas.arch.widths import doubling
from resatlas.designs.resnet import UnitKind, residual_stages, usual_unit
from resatlas.designs.setting import IMAGENET_UNITS, STAGES, Setting, paper_base, stem

BOTTLENECK_DEPTHS = (164, 1001)
"""CIFAR depths whose paper networks have bottlenecks; both also differ from every 6n + 2."""


@dataclass(frozen=True, kw_only=True)
class PreActResNet:
    """y = shortcut(x) + body(relu(norm(x))), nothing after the sum; norm and relu before the global pool.

    On CIFAR the stem is a bare convolution, and the shortcut reads relu(norm(x)) in the first unit and wherever
    it is a projection. On ImageNet the stem keeps norm and relu, the first unit has no pre-activation of its own,
    and the first unit of every later stage shares it. Projections are bare convolutions.
    Source: pre-activation paper, appendix; KaimingHe/resnet-1k-layers, resnet-pre-act.lua; ImageNet wiring:
    fb.resnet.torch, models/preresnet.lua.
    """

    family: ClassVar[str] = "preact-resnet"
    depth: int
    setting: Setting = "cifar"
    unit: UnitKind | None = None
    shortcut: Literal["A", "B"] | None = None
    stride: Literal["first", "3x3"] = "first"
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        kind = self.unit or self._usual_unit()
        base = paper_base(self.setting) if self.base is None else self.base
        expansion = 4 if kind == "bottleneck" else 1
        option = self.shortcut or ("A" if self.setting == "cifar" and kind == "basic" else "B")
        return Blueprint(
            stem=stem(self.setting, base, () if self.setting == "cifar" else (Norm(), Relu())),
            units=residual_stages("a pre-activation ResNet", self.depth, self.setting, kind),
            widths=doubling(base * expansion, STAGES[self.setting]),
            residual=Residual(
                convs=bottleneck(strided=self.stride) if kind == "bottleneck" else basic(),
                order=PRE_ACTIVATION,
                shortcut=ZeroPad() if option == "A" else Projection(after=()),
                shares=("network-start", "projected") if self.setting == "cifar" else ("stage-start",),
                opening="ordered" if self.setting == "cifar" else "bare",
            ),
            head=Head(before=(Norm(), Relu())),
        )

    def _usual_unit(self) -> UnitKind:
        if self.setting == "cifar":
            return "bottleneck" if self.depth in BOTTLENECK_DEPTHS else "basic"
        return usual_unit(self.depth, self.setting)


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?preact-resnet-(?P<depth>\d{1,10})"
    r"(?P<unit>-bottleneck)?(?P<stride>-v1\.5)?(?:-(?P<shortcut>[AB]))?",
    re.ASCII,
)


def named(match: re.Match[str]) -> PreActResNet:
    """The network of a name; a bare depth of the ImageNet table is the ImageNet one."""
    depth = int(match["depth"])
    listed = depth in IMAGENET_UNITS and not match["unit"]
    options: dict[str | None, Literal["A", "B"]] = {"A": "A", "B": "B"}
    return PreActResNet(
        depth=depth,
        setting="imagenet" if match["setting"] == "imagenet-" or (listed and not match["setting"]) else "cifar",
        unit="bottleneck" if match["unit"] else None,
        shortcut=options.get(match["shortcut"]),
        stride="3x3" if match["stride"] else "first",
    )


NAMED: Mapping[str, PreActResNet] = {
    "preact-resnet-110": PreActResNet(depth=110),
    "preact-resnet-110-B": PreActResNet(depth=110, shortcut="B"),
    **{f"preact-resnet-{depth}": PreActResNet(depth=depth) for depth in BOTTLENECK_DEPTHS},
    **{f"preact-resnet-{depth}": PreActResNet(depth=depth, setting="imagenet") for depth in IMAGENET_UNITS},
    "preact-resnet-200-v1.5": PreActResNet(depth=200, setting="imagenet", stride="3x3"),
}
