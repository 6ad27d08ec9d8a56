"""SE-ResNet and SE-ResNeXt: squeeze and excitation (arXiv:1709.01507)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.residual import Excitation
from resatlas.designs.family import Family, Grammar, Paper
from resatlas.designs.resnet import STRIDE_ENDS, UNIT_ENDS, UNITS, Option, ResNet, StridePlace, UnitKind
from resatlas.designs.resnext import ResNeXt
from resatlas.designs.tasks import IMAGENET_UNITS, Setting, setting_of
from resatlas.errors import DesignError

_REDUCTION = 16
"""Source: paper, section 6.1."""


def _excited(blueprint: Blueprint, reduction: int) -> Blueprint:
    """The network whose bodies are weighted per channel before the sum.

    Raises: DesignError if the reduction is not between 1 and 1,024.
    """
    if not 1 <= reduction <= 1024:
        raise DesignError(f"squeeze and excitation reduces channels 1 to 1,024 times; got {reduction}")
    excitation = Excitation(ratio=Fraction(1, reduction))
    return replace(blueprint, residual=replace(blueprint.residual, attention=excitation))


@dataclass(frozen=True, kw_only=True)
class SeResNet:
    """A ResNet whose bodies are weighted per channel by squeeze and excitation, with `reduction` r.

    Source: paper, section 3 and Fig. 3; with stride on the 3x3 as in timm ("v1.5").
    Differs: the paper does not name the shortcuts of its networks for CIFAR; ours are of option B, as pytorchcv's.
    """

    family: ClassVar[str] = "se-resnet"
    depth: int
    setting: Setting = "cifar"
    unit: UnitKind | None = None
    shortcut: Option = "B"
    stride: StridePlace = "first"
    reduction: int = _REDUCTION
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        plain = ResNet(
            depth=self.depth,
            setting=self.setting,
            unit=self.unit,
            shortcut=self.shortcut,
            stride=self.stride,
            base=self.base,
        )
        return _excited(plain.blueprint(), self.reduction)


@dataclass(frozen=True, kw_only=True)
class SeResNeXt:
    """A ResNeXt whose bodies are weighted per channel by squeeze and excitation, with `reduction` r.

    Source: paper, Table 1.
    """

    family: ClassVar[str] = "se-resnext"
    depth: int
    cardinality: int = 32
    width: int = 4
    setting: Setting = "imagenet"
    reduction: int = _REDUCTION
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        plain = ResNeXt(
            depth=self.depth, cardinality=self.cardinality, width=self.width, setting=self.setting, base=self.base
        )
        return _excited(plain.blueprint(), self.reduction)


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?se-resnet-(?P<depth>\d{1,10})"
    r"(?P<unit>-bottleneck|-1-layer-skip)?(?P<stride>-v1\.5)?(?:-(?P<shortcut>[AC]))?",
    re.ASCII,
)

NAME_NEXT = re.compile(
    r"(?P<setting>cifar-|imagenet-)?se-resnext-(?P<depth>\d{1,10})-(?P<cardinality>\d{1,5})x(?P<width>\d{1,5})d",
    re.ASCII,
)


def named(match: re.Match[str]) -> SeResNet:
    """The SE-ResNet of a name."""
    depth = int(match["depth"])
    options: dict[str | None, Option] = {"A": "A", "C": "C"}
    return SeResNet(
        depth=depth,
        setting=setting_of(match["setting"], listed=depth in IMAGENET_UNITS and not match["unit"]),
        unit=UNITS[match["unit"]],
        shortcut=options.get(match["shortcut"], "B"),
        stride="3x3" if match["stride"] else "first",
    )


def named_next(match: re.Match[str]) -> SeResNeXt:
    """The SE-ResNeXt of a name."""
    depth = int(match["depth"])
    return SeResNeXt(
        depth=depth,
        cardinality=int(match["cardinality"]),
        width=int(match["width"]),
        setting=setting_of(match["setting"], listed=depth in IMAGENET_UNITS),
    )


NAMED: Mapping[str, SeResNet] = {
    **{f"se-resnet-{depth}": SeResNet(depth=depth) for depth in (20, 56, 110)},
    "se-resnet-164-bottleneck": SeResNet(depth=164, unit="bottleneck"),
    **{f"se-resnet-{depth}": SeResNet(depth=depth, setting="imagenet") for depth in (18, 34, 50, 101, 152)},
    "se-resnet-50-v1.5": SeResNet(depth=50, setting="imagenet", stride="3x3"),
}

NAMED_NEXT: Mapping[str, SeResNeXt] = {
    f"se-resnext-{depth}-32x4d": SeResNeXt(depth=depth, setting="imagenet") for depth in (50, 101)
}

SQUEEZE_AND_EXCITATION = Paper(
    key="hu2018squeeze",
    title="Squeeze-and-Excitation Networks",
    authors=("Jie Hu", "Li Shen", "Gang Sun"),
    booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2018,
    arxiv="1709.01507",
    used_in=lambda blueprint: isinstance(blueprint.residual.attention, Excitation),
)


def _sources(design: SeResNet | SeResNeXt) -> tuple[str, ...]:
    return (f"{SQUEEZE_AND_EXCITATION}: section 3 and Fig. 3, reduction {design.reduction}.",)


SE_RESNET = Family(
    design=SeResNet,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="se-resnet-{depth}",
        ends={"unit": UNIT_ENDS, "stride": STRIDE_ENDS, "shortcut": {"A": "-A", "C": "-C"}},
    ),
    named=NAMED,
    paper=SQUEEZE_AND_EXCITATION,
    sizes={"depth": range(1, 201)},
    colour="#117733",
    shape="arrow",
    label="SEResNet",
    sources=_sources,
    recipes=("senet-imagenet",),
    peers={"seresnet50": "se-resnet-50-v1.5"},  # timm's 18 and 34 reduce to multiples of 8 channels
)

SE_RESNEXT = Family(
    design=SeResNeXt,
    grammar=Grammar(pattern=NAME_NEXT, read=named_next, head="se-resnext-{depth}-{cardinality}x{width}d"),
    named=NAMED_NEXT,
    paper=SQUEEZE_AND_EXCITATION,
    sizes={
        "depth": range(1, 201),
        "cardinality": tuple(1 << power for power in range(7)),
        "width": range(1, 65),
    },
    colour="#332288",
    shape="stroke",
    label="SEResNeXt",
    sources=_sources,
    recipes=("senet-imagenet",),
    peers={"seresnext50_32x4d": "se-resnext-50-32x4d", "seresnext101_32x4d": "se-resnext-101-32x4d"},
    bases={"cifar": 64, "imagenet": 64},
)
