"""RegNetX and RegNetY (arXiv:2003.13678)."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import ClassVar, Literal

from resatlas.arch.blueprint import MOST_UNITS, Blueprint, Stem
from resatlas.arch.ops import Conv, Norm, Relu
from resatlas.arch.residual import POST_ACTIVATION, Excitation, Residual
from resatlas.arch.widths import WIDEST, PerStage, check_width
from resatlas.designs.family import Family, Grammar, Paper
from resatlas.designs.tasks import Setting
from resatlas.errors import DepthError, WidthError

_STEM = 32
_QUANTUM = 8
_EXCITED = Excitation(ratio=Fraction(1, 4), of="input")

Variant = Literal["x", "y"]


@dataclass(frozen=True, kw_only=True)
class RegNet:
    """Units 1x1, 3x3 in groups of `group` channels, 1x1, all of one width, whose widths lie on a quantised line.

    u_j = w0 + wa·j for unit j = 0…depth - 1, s_j = round(log(u_j/w0)/log(wm)), and unit j has w0·wm^s_j channels,
    rounded to a multiple of 8 and then of the group, if it is wider than that. Units of one width are a stage, and each
    stage begins with a stride. y: squeeze and excitation before the last 1x1, to a quarter of the unit's input.
    `base` is the width of the stem. On CIFAR neither the stem nor the first stage has a stride.
    Source: paper, section 3.3, equations 2 to 4, and section 4; bottleneck ratio 1, Y as in its section 5; authors'
        code, pycls, which rounds a half of a group to the even multiple.
    Differs: torchvision rounds such halves up, and up wherever a width would lose more than a tenth, which makes three
        of its networks wider than the paper's: `rounding` "up".
    """

    family: ClassVar[str] = "regnet"
    depth: int
    variant: Variant = "x"
    w0: int = 24
    wa: Fraction = Fraction("24.48")
    wm: Fraction = Fraction("2.54")
    group: int = 16
    rounding: Literal["even", "up"] = "even"
    setting: Setting = "imagenet"
    base: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= MOST_UNITS:
            raise DepthError(f"a RegNet has depth 1 to {MOST_UNITS:,}, its number of units; got {self.depth}")
        check_width(self.w0)
        if self.w0 % _QUANTUM:
            near = sorted({max(self.w0 // _QUANTUM, 1) * _QUANTUM, (self.w0 // _QUANTUM + 1) * _QUANTUM})
            raise WidthError(
                f"a RegNet's w0 is a multiple of {_QUANTUM}; {self.w0} is not (nearest: {', '.join(map(str, near))})"
            )
        if not 0 <= self.wa <= WIDEST:
            raise WidthError(f"a RegNet's wa is a slope of 0 to {WIDEST:,} channels a unit; got {self.wa}")
        if not 1 < self.wm <= 64:
            raise WidthError(f"a RegNet's wm is a factor above 1, up to 64; got {self.wm}")
        if not 1 <= self.group <= WIDEST:
            raise WidthError(f"a RegNet's groups have 1 to {WIDEST:,} channels; got {self.group}")
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        stages = [(width, len(list(same))) for width, same in groupby(self._widths())]
        strided = 1 if self.setting == "cifar" else 2
        return Blueprint(
            stem=Stem(width=_STEM if self.base is None else self.base, stride=strided),
            units=tuple(count for _, count in stages),
            widths=PerStage(tuple(self._fitted(width) for width, _ in stages)),
            residual=self._residual(),
            first_stride=strided,
        )

    def _widths(self) -> list[int]:
        """The widths of all units on the quantised line."""
        slope, base = float(self.wa / self.w0), math.log(self.wm)
        steps = [round(math.log(1 + slope * unit) / base) for unit in range(self.depth)]
        rounded = {step: check_width(round(self.w0 * self.wm**step / _QUANTUM) * _QUANTUM) for step in {*steps}}
        return [rounded[step] for step in steps]

    def _fitted(self, width: int) -> int:
        """The width as a multiple of the group, if it is wider."""
        if width <= self.group:
            return width
        exact = Fraction(width, self.group)
        if self.rounding == "even":
            return round(exact) * self.group
        near = math.floor(exact + Fraction(1, 2)) * self.group
        return near + self.group if near < Fraction(9, 10) * width else near

    def _residual(self) -> Residual:
        convs = (Conv(1), Conv(3, strided=True, group_width=self.group), Conv(1))
        if self.variant == "x":
            return Residual(convs=convs)
        order = replace(POST_ACTIVATION, last=(Norm(), Relu()), merged=(*convs[2:], Norm()))
        return Residual(convs=convs[:2], order=order, attention=_EXCITED)


NAME = re.compile(
    r"regnet-(?P<variant>[xy])-(?:(?P<size>\d{1,4}(?:\.\d)?[mg]f)"
    r"|(?P<depth>\d{1,4})-w(?P<w0>\d{1,5})-(?P<wa>\d{1,5}(?:\.\d{1,4})?)-(?P<wm>\d{1,2}(?:\.\d{1,4})?)-g(?P<group>\d{1,5}))",
    re.ASCII,
)

_SIZES: Mapping[str, tuple[int, int, str, str, int]] = {
    "x-200mf": (13, 24, "36.44", "2.49", 8),
    "x-400mf": (22, 24, "24.48", "2.54", 16),
    "x-600mf": (16, 48, "36.97", "2.24", 24),
    "x-800mf": (16, 56, "35.73", "2.28", 16),
    "x-1.6gf": (18, 80, "34.01", "2.25", 24),
    "x-3.2gf": (25, 88, "26.31", "2.25", 48),
    "x-4gf": (23, 96, "38.65", "2.43", 40),
    "x-6.4gf": (17, 184, "60.83", "2.07", 56),
    "x-8gf": (23, 80, "49.56", "2.88", 120),
    "x-12gf": (19, 168, "73.36", "2.37", 112),
    "x-16gf": (22, 216, "55.59", "2.1", 128),
    "x-32gf": (23, 320, "69.86", "2.0", 168),
    "y-200mf": (13, 24, "36.44", "2.49", 8),
    "y-400mf": (16, 48, "27.89", "2.09", 8),
    "y-600mf": (15, 48, "32.54", "2.32", 16),
    "y-800mf": (14, 56, "38.84", "2.4", 16),
    "y-1.6gf": (27, 48, "20.71", "2.65", 24),
    "y-3.2gf": (21, 80, "42.63", "2.66", 24),
    "y-4gf": (22, 96, "31.41", "2.24", 64),
    "y-6.4gf": (25, 112, "33.22", "2.27", 72),
    "y-8gf": (17, 192, "76.82", "2.19", 56),
    "y-12gf": (19, 168, "73.36", "2.37", 112),
    "y-16gf": (18, 200, "106.23", "2.48", 112),
    "y-32gf": (20, 232, "115.89", "2.53", 232),
}
"""Depth, w0, wa, wm and group width. Source: authors' code, pycls, configs/dds_baselines."""


_WIDER = ("x-400mf", "y-800mf", "y-8gf")
"""Networks that are wider in torchvision."""


def _regnet(variant: str, depth: int, w0: int, wa: str, wm: str, group: int) -> RegNet:
    return RegNet(
        depth=depth, variant="y" if variant == "y" else "x", w0=w0, wa=Fraction(wa), wm=Fraction(wm), group=group
    )


NAMED: Mapping[str, RegNet] = {f"regnet-{size}": _regnet(size[0], *knobs) for size, knobs in _SIZES.items()}


def named(match: re.Match[str]) -> RegNet | None:
    """The network of a name: of the paper's sizes, or with its knobs written out."""
    if match["size"]:
        return NAMED.get(match[0])
    return _regnet(
        match["variant"], int(match["depth"]), int(match["w0"]), match["wa"], match["wm"], int(match["group"])
    )


def _used_in(blueprint: Blueprint) -> bool:
    """Groups of a fixed width, or a first stage that begins with a stride."""
    return blueprint.first_stride > 1 or any(conv.group_width for conv in blueprint.residual.convs)


DESIGN_SPACES = Paper(
    key="radosavovic2020designing",
    title="Designing Network Design Spaces",
    authors=("Ilija Radosavovic", "Raj Prateek Kosaraju", "Ross Girshick", "Kaiming He", "Piotr Dollár"),
    booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2020,
    arxiv="2003.13678",
    used_in=_used_in,
)


def _sources(design: RegNet) -> tuple[str, ...]:
    return (f"{DESIGN_SPACES}: equations 2 to 4, RegNet{design.variant.upper()}.",)


REGNET = Family(
    design=RegNet,
    grammar=Grammar(pattern=NAME, read=named, head="regnet-{variant}-{depth}-w{w0}-{wa}-{wm}-g{group}"),
    named=NAMED,
    paper=DESIGN_SPACES,
    sizes={"depth": range(1, 61)},
    colour="#999933",
    shape="M0,-1L0.29,-0.4L0.95,-0.31L0.48,0.15L0.59,0.81L0,0.5L-0.59,0.81L-0.48,0.15L-0.95,-0.31L-0.29,-0.4Z",
    label="RegNet",
    sources=_sources,
    recipes=("regnet-imagenet",),
    peers={
        f"regnet_{size.replace('.', '_').replace('-', '_')}": f"regnet-{size}{':rounding=up' if size in _WIDER else ''}"
        for size in (f"{variant}-{size}" for variant in "xy" for size in ("400mf", "800mf", "1.6gf", "3.2gf", "8gf"))
    },
    bases={"cifar": _STEM, "imagenet": _STEM},
)
