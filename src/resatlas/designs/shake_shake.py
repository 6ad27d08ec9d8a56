"""Shake-Shake: the mean of two bodies, whose shares are drawn at random in training (arXiv:1705.07485)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd
from typing import ClassVar

from resatlas.arch.blueprint import Blueprint, Head
from resatlas.arch.ops import Norm, Scale
from resatlas.arch.residual import BEFORE_POOL, ORDERS, Projection, Residual, basic
from resatlas.arch.widths import check_width, doubling
from resatlas.designs.family import Family, Grammar, Paper, kinds
from resatlas.designs.resnet import residual_stages
from resatlas.designs.tasks import STAGES, Setting, paper_base, setting_of, stem
from resatlas.errors import DesignError, WidthError

_MOST_BODIES = 256


@dataclass(frozen=True, kw_only=True)
class ShakeShake:
    """Units relu-conv-norm-relu-conv-norm of several `bodies`, whose mean is added to the shortcut.

    The first stage has `width` channels behind a stem of 16, each later one twice as many; with another stem (`base`)
    the first has base·width/16. Where the width changes, the shortcut is shifted: two 1x1 convolutions of half the
    width of relu(x), of which one reads pixels one up and one to the left. Training draws the shares of two bodies with
    `Recipe.shake`; without it, and in a test, each has one half.
    Source: paper, section 2.1; author's shakeshake.lua and shakeshakeblock.lua. A name of theirs is 26 2x32d.
    Differs: the author's two convolutions of a shortcut start from the fan of half the width each; ours is one in two
    groups, whose fan is the whole width. The paper has two bodies and small images alone.
    """

    family: ClassVar[str] = "shake-shake"
    depth: int
    width: int = 32
    bodies: int = 2
    setting: Setting = "cifar"
    base: int | None = None

    def __post_init__(self) -> None:
        check_width(self.width)
        if not 2 <= self.bodies <= _MOST_BODIES:
            raise DesignError(f"a Shake-Shake network has 2 to {_MOST_BODIES} bodies in a unit; got {self.bodies}")
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        usual = paper_base(self.setting)
        base = usual if self.base is None else self.base
        width = Fraction(base * self.width, usual)
        if width.denominator != 1 or width % 2:
            step = 2 * usual // gcd(2 * usual, base)
            near = sorted({max(self.width // step, 1) * step, (self.width // step + 1) * step})
            raise WidthError(
                f"the first stage of this Shake-Shake network has base·width/{usual} channels, an even number, since "
                f"two convolutions divide it; {base}·{self.width}/{usual} is {width} (nearest: width "
                f"{', '.join(map(str, near))})"
            )
        order = replace(ORDERS["relu-only-preact"], merged=(Scale(Fraction(1, self.bodies)),))
        return Blueprint(
            stem=stem(self.setting, base, (Norm(),)),
            units=residual_stages("a Shake-Shake network", self.depth, self.setting, "basic"),
            widths=doubling(int(width), STAGES[self.setting]),
            residual=Residual(
                convs=basic(),
                order=order,
                shortcut=Projection(subsample="shifted"),
                shares=("projected",),
                bodies=self.bodies,
            ),
            head=Head(before=BEFORE_POOL["relu-only-preact"]),
        )


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?shake-shake-(?P<depth>\d{1,10})-(?P<bodies>\d{1,3})x(?P<width>\d{1,5})d", re.ASCII
)


def named(match: re.Match[str]) -> ShakeShake:
    """The network of a name; without "imagenet-" it is the CIFAR one."""
    return ShakeShake(
        depth=int(match["depth"]),
        width=int(match["width"]),
        bodies=int(match["bodies"]),
        setting=setting_of(match["setting"], listed=False),
    )


NAMED: Mapping[str, ShakeShake] = {
    f"shake-shake-26-2x{width}d": ShakeShake(depth=26, width=width) for width in (32, 64, 96)
}


def _used_in(blueprint: Blueprint) -> bool:
    """The mean of several bodies, or a shifted shortcut."""
    unit = blueprint.residual
    averaged = unit.bodies > 1 and unit.merge == "sum" and Scale in kinds(unit.order.merged)
    return averaged or (isinstance(unit.shortcut, Projection) and unit.shortcut.subsample == "shifted")


SHAKE_SHAKE_PAPER = Paper(
    key="gastaldi2017shake",
    title="Shake-Shake regularization",
    authors=("Xavier Gastaldi",),
    booktitle="arXiv preprint",
    kind="article",
    year=2017,
    arxiv="1705.07485",
    used_in=_used_in,
)

SHAKE_SHAKE = Family(
    design=ShakeShake,
    grammar=Grammar(pattern=NAME, read=named, head="shake-shake-{depth}-{bodies}x{width}d"),
    named=NAMED,
    paper=SHAKE_SHAKE_PAPER,
    sizes={"depth": range(1, 201), "width": range(2, 257, 2)},
    colour="#DDCC77",
    shape="M-0.5,-1L0.5,-1L0.5,-0.5L1,-0.5L1,0.5L0.5,0.5L0.5,1L-0.5,1L-0.5,0.5L-1,0.5L-1,-0.5L-0.5,-0.5Z",
    label="ShakeShake",
    sources=lambda design: (f"{SHAKE_SHAKE_PAPER}: section 2.1, {design.depth} {design.bodies}x{design.width}d.",),
    recipes=("shake-shake-cifar",),
    spellings="shake-?shake",
)
