"""ResNeXt (arXiv:1611.05431)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd
from typing import ClassVar, Literal, get_args

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Conv, Norm, Relu
from resatlas.arch.residual import POST_ACTIVATION, Absent, Residual, bottleneck
from resatlas.arch.widths import doubling
from resatlas.designs.family import Family, Grammar, Paper, kinds
from resatlas.designs.tasks import (
    IMAGENET_BASIC,
    IMAGENET_UNITS,
    STAGES,
    Setting,
    equal_stages,
    listed_stages,
    setting_of,
    stem,
)
from resatlas.errors import WidthError

_PAPER_BASE = 64
"""The first planes on CIFAR and on ImageNet alike; `width` speaks of them. Source: paper, Table 1 and appendix A."""

Form = Literal["a", "b", "c"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, kw_only=True)
class ResNeXt:
    """Bottlenecks whose 3x3 runs in `cardinality` groups of `width` channels, at 64 first planes.

    With other first planes (`base`) a group has base·width/64 channels. The unit's output is 4 · planes, whatever
    the groups. Stride on the 3x3. Forms: a sums whole bodies, b concatenates their 3x3, c groups. The shortcut is
    option B, or absent as in the paper's ablation.
    Source: paper, sections 3 to 5, Table 1; authors' models/resnext.lua.
    """

    family: ClassVar[str] = "resnext"
    depth: int
    cardinality: int = 32
    width: int = 4
    setting: Setting = "cifar"
    form: Form = "c"
    shortcut: Literal["B", "absent"] = "B"
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        base = _PAPER_BASE if self.base is None else self.base
        group = Fraction(base * self.width, _PAPER_BASE)
        if group.denominator != 1 or group < 1:
            raise WidthError(
                f"a group of this ResNeXt has base·width/{_PAPER_BASE} channels, a whole number; "
                f"{base}·{self.width}/{_PAPER_BASE} is {group} "
                f"(smallest base: {_PAPER_BASE // gcd(_PAPER_BASE, self.width)})"
            )
        residual = _in_form(self.form, self.cardinality, group / (4 * base))
        return Blueprint(
            stem=stem(self.setting, base),
            units=self._units(),
            widths=doubling(4 * base, STAGES[self.setting]),
            residual=replace(residual, shortcut=Absent()) if self.shortcut == "absent" else residual,
        )

    def _units(self) -> tuple[int, ...]:
        if self.setting == "cifar":
            return equal_stages("a ResNeXt for CIFAR", self.depth, step=9, rest=2)
        deep = {depth: units for depth, units in IMAGENET_UNITS.items() if depth not in IMAGENET_BASIC}
        return listed_stages("a ResNeXt for ImageNet", self.depth, deep)


def _in_form(form: Form, cardinality: int, group: Fraction) -> Residual:
    """The aggregated unit in one of its three equal forms; `group` is a path's share of the unit's output.

    Source: paper, Fig. 3 and footnotes 3, 4, 6. Normalisation after the last convolution stands once, behind the sum.
    """
    if form == "c":
        return Residual(convs=bottleneck(group * cardinality, groups=cardinality))
    if form == "b":
        convs = bottleneck(group)[:-1]
        order = replace(POST_ACTIVATION, last=(Norm(), Relu()), merged=(Conv(1), Norm()))
        return Residual(convs=convs, order=order, bodies=cardinality, merge="concat")
    order = replace(POST_ACTIVATION, last=(), merged=(Norm(),))
    return Residual(convs=bottleneck(group), order=order, bodies=cardinality)


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?resnext-(?P<depth>\d{1,10})-(?P<cardinality>\d{1,5})x(?P<width>\d{1,5})d"
    r"(?:-form-(?P<form>[abc]))?(?P<shortcut>-noshortcut)?",
    re.ASCII,
)


def named(match: re.Match[str]) -> ResNeXt:
    """The network of a name; a depth of the ImageNet table is the ImageNet one."""
    depth = int(match["depth"])
    return ResNeXt(
        depth=depth,
        cardinality=int(match["cardinality"]),
        width=int(match["width"]),
        setting=setting_of(match["setting"], listed=depth in IMAGENET_UNITS),
        form=next((form for form in FORMS if form == match["form"]), "c"),
        shortcut="absent" if match["shortcut"] else "B",
    )


def _resnext(depth: int, cardinality: int, width: int, setting: Setting) -> tuple[str, ResNeXt]:
    design = ResNeXt(depth=depth, cardinality=cardinality, width=width, setting=setting)
    return f"resnext-{depth}-{cardinality}x{width}d", design


def _noshortcut(cardinality: int, width: int) -> tuple[str, ResNeXt]:
    design = ResNeXt(depth=50, cardinality=cardinality, width=width, setting="imagenet", shortcut="absent")
    return f"resnext-50-{cardinality}x{width}d-noshortcut", design


_TABLE_2 = ((1, 64), (2, 40), (4, 24), (8, 14), (32, 4))

NAMED: Mapping[str, ResNeXt] = {
    **dict(_resnext(29, c, 64, "cifar") for c in (1, 2, 4, 8, 16)),
    **dict(_resnext(29, 1, d, "cifar") for d in (128, 192, 256, 320)),
    **dict(_resnext(29, c, d, "cifar") for c, d in _TABLE_2[1:]),
    **dict(_resnext(50, c, d, "imagenet") for c, d in (*_TABLE_2, (1, 100), (2, 64), (64, 4), (32, 8))),
    **dict(_resnext(101, c, d, "imagenet") for c, d in (*_TABLE_2, (1, 100), (2, 64), (64, 4), (32, 8))),
    **dict([_resnext(152, 64, 4, "imagenet")]),
    **dict([_noshortcut(1, 64), _noshortcut(32, 4)]),
}


def _used_in(blueprint: Blueprint) -> bool:
    """Convolutions in groups, or parallel bodies that are normalised once they are one tensor."""
    unit = blueprint.residual
    divided = any(conv.groups > 1 or conv.group_width for conv in unit.convs)
    return divided or (unit.bodies > 1 and unit.merge != "cascade" and Norm in kinds(unit.order.merged))


_PAPER = Paper(
    key="xie2017aggregated",
    title="Aggregated Residual Transformations for Deep Neural Networks",
    authors=("Saining Xie", "Ross Girshick", "Piotr Dollár", "Zhuowen Tu", "Kaiming He"),
    booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2017,
    arxiv="1611.05431",
    used_in=_used_in,
)


def _sources(design: ResNeXt) -> tuple[str, ...]:
    where = "sections 3 and 4, Table 1" if design.setting == "imagenet" else "sections 3 to 5"
    return (f"{_PAPER}: {where}, the block of Fig. 3({design.form}).",)


RESNEXT = Family(
    design=ResNeXt,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="resnext-{depth}-{cardinality}x{width}d",
        ends={"form": "-form-{}", "shortcut": {"absent": "-noshortcut"}},
    ),
    named=NAMED,
    paper=_PAPER,
    sizes={
        "depth": range(1, 201),
        "cardinality": tuple(1 << power for power in range(7)),  # powers of two, as in the paper
        "width": range(1, 321),
    },
    colour="#e69f00",
    shape="triangle-up",
    label="ResNeXt",
    sources=_sources,
    recipes=(
        "resnext-cifar",
        "resnext-cifar-paper",
        "resnext-imagenet",
        "resnext-imagenet-paper",
        "resnext-imagenet-5k",
    ),
    peers={
        "resnext50_32x4d": "resnext-50-32x4d",
        "resnext101_32x4d": "resnext-101-32x4d",
        "resnext101_32x8d": "resnext-101-32x8d",
        "resnext101_64x4d": "resnext-101-64x4d",
    },
    bases={"cifar": _PAPER_BASE, "imagenet": _PAPER_BASE},
)
