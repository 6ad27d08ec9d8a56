"""ResNet with full pre-activation (arXiv:1603.05027)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from resatlas.arch.blueprint import Blueprint, Head
from resatlas.arch.ops import Norm, Relu
from resatlas.arch.residual import BEFORE_POOL, ORDERS, Position, Projection, Residual, ZeroPad
from resatlas.arch.widths import doubling
from resatlas.designs.family import Family, Grammar
from resatlas.designs.resnet import (
    HOME_RECIPES,
    IDENTITY_MAPPINGS,
    STRIDE_ENDS,
    UNIT_ENDS,
    UNITS,
    StridePlace,
    UnitKind,
    residual_stages,
    unit_convs,
    usual_unit,
)
from resatlas.designs.tasks import IMAGENET_UNITS, STAGES, Setting, paper_base, setting_of, stem

Wiring = Literal["paper", "fb", "projected"]

_SHARES: Mapping[Wiring, tuple[Position, ...]] = {
    "paper": ("network-start", "projected"),
    "fb": ("network-start", "stage-start"),
    "projected": ("projected",),
}

PreOrder = Literal["pre-activation", "no-first-relu", "last-norm", "pyramidal"]

_BOTTLENECK_DEPTHS = (164, 1001)
"""CIFAR depths whose paper networks have bottlenecks; both also differ from every 6n + 2."""


@dataclass(frozen=True, kw_only=True)
class PreActResNet:
    """y = shortcut(x) + body(relu(norm(x))), nothing after the sum; norm and relu before the global pool.

    `wiring` says where the shortcut reads relu(norm(x)) instead of x; projections are bare convolutions.
    paper: in the first unit and wherever it is a projection; behind a stem that is a bare convolution.
    fb: in the first unit of every stage. On ImageNet the stem keeps norm and relu, and the first unit of the
    network has no pre-activation of its own.
    projected: wherever it is a projection; on ImageNet the stem keeps norm and relu.
    Where it is not given: paper on CIFAR, fb on ImageNet.
    Source: pre-activation paper, appendix; KaimingHe/resnet-1k-layers, resnet-pre-act.lua; fb: fb.resnet.torch,
    models/preresnet.lua; projected: osmr/imgclsmob. Orders: `arch.residual.ORDERS`.
    """

    family: ClassVar[str] = "preact-resnet"
    depth: int
    setting: Setting = "cifar"
    unit: UnitKind | None = None
    shortcut: Literal["A", "B"] | None = None
    stride: StridePlace = "first"
    wiring: Wiring | None = None
    order: PreOrder = "pre-activation"
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        kind = self.unit or self._usual_unit()
        base = paper_base(self.setting) if self.base is None else self.base
        expansion = 4 if kind == "bottleneck" else 1
        option = self.shortcut or ("B" if self.setting == "imagenet" or kind == "bottleneck" else "A")
        wiring = self.wiring or ("paper" if self.setting == "cifar" else "fb")
        bare_stem = wiring == "paper" or self.setting == "cifar"
        return Blueprint(
            stem=stem(self.setting, base, () if bare_stem else (Norm(), Relu())),
            units=residual_stages("a pre-activation ResNet", self.depth, self.setting, kind),
            widths=doubling(base * expansion, STAGES[self.setting]),
            residual=Residual(
                convs=unit_convs(kind, self.stride),
                order=ORDERS[self.order],
                shortcut=ZeroPad() if option == "A" else Projection(after=()),
                shares=_SHARES[wiring],
                opening="ordered" if bare_stem or wiring == "projected" else "bare",
            ),
            head=Head(before=BEFORE_POOL[self.order]),
        )

    def _usual_unit(self) -> UnitKind:
        if self.setting == "cifar":
            return "bottleneck" if self.depth in _BOTTLENECK_DEPTHS else "basic"
        return usual_unit(self.depth, self.setting)


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?preact-resnet-(?P<depth>\d{1,10})"
    r"(?P<unit>-bottleneck|-1-layer-skip)?(?P<stride>-v1\.5)?(?:-(?P<shortcut>[AB]))?(?:-(?P<wiring>fb|projected))?",
    re.ASCII,
)


def named(match: re.Match[str]) -> PreActResNet:
    """The network of a name; a bare depth of the ImageNet table is the ImageNet one."""
    depth = int(match["depth"])
    listed = depth in IMAGENET_UNITS and not match["unit"]
    options: dict[str | None, Literal["A", "B"]] = {"A": "A", "B": "B"}
    return PreActResNet(
        depth=depth,
        setting=setting_of(match["setting"], listed=listed),
        unit=UNITS[match["unit"]],
        shortcut=options.get(match["shortcut"]),
        stride="3x3" if match["stride"] else "first",
        wiring=next((wiring for wiring in _SHARES if wiring == match["wiring"]), None),
    )


NAMED: Mapping[str, PreActResNet] = {
    "preact-resnet-110": PreActResNet(depth=110),
    "preact-resnet-110-B": PreActResNet(depth=110, shortcut="B"),
    **{f"preact-resnet-{depth}": PreActResNet(depth=depth) for depth in _BOTTLENECK_DEPTHS},
    **{f"preact-resnet-{depth}": PreActResNet(depth=depth, setting="imagenet") for depth in IMAGENET_UNITS},
    "preact-resnet-110-1-layer-skip": PreActResNet(depth=110, unit="single"),
    "preact-resnet-110-fb": PreActResNet(depth=110, wiring="fb"),
    "preact-resnet-110-B-projected": PreActResNet(depth=110, shortcut="B", wiring="projected"),
    **{f"preact-resnet-{depth}-v1.5": PreActResNet(depth=depth, stride="3x3") for depth in _BOTTLENECK_DEPTHS},
    "preact-resnet-200-v1.5": PreActResNet(depth=200, setting="imagenet", stride="3x3"),
}


def _sources(design: PreActResNet) -> tuple[str, ...]:
    lines = [f"{IDENTITY_MAPPINGS}: full pre-activation, section 4 and the appendix."]
    if design.unit == "single":
        lines.append(f"{IDENTITY_MAPPINGS}: Table 3, skips of one layer.")
    if design.wiring == "fb" or (design.wiring is None and design.setting == "imagenet"):
        lines.append("fb.resnet.torch, models/preresnet.lua, for what the shortcuts read.")
    return tuple(lines)


PREACT_RESNET = Family(
    design=PreActResNet,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="preact-resnet-{depth}",
        ends={
            "unit": UNIT_ENDS,
            "stride": STRIDE_ENDS,
            "shortcut": "-{}",
            "wiring": {"fb": "-fb", "projected": "-projected"},
        },
    ),
    named=NAMED,
    paper=IDENTITY_MAPPINGS,
    sizes={"depth": range(1, 1002)},
    colour="#56b4e9",
    shape="cross",
    label="PreActResNet",
    sources=_sources,
    recipes=HOME_RECIPES,
    spellings="preact-?resnet",
)
