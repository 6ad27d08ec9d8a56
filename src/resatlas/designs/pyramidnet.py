"""PyramidNet (arXiv:1610.02915)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal

from resatlas.arch.blueprint import Blueprint, Head
from resatlas.arch.ops import Dropout, Norm, Relu
from resatlas.arch.residual import ORDERS, OrderName, Projection, Residual, Shortcut, ZeroPad, basic, bottleneck
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage, Rounding
from resatlas.designs.family import Family, Grammar, Paper, kinds
from resatlas.designs.resnet import residual_stages
from resatlas.designs.tasks import Setting, paper_base, setting_of, stem

Growth = Literal["additive", "multiplicative"]
Variant = Literal["a", "b", "c", "d"]
PyramidShortcut = Literal["zeros", "projection", "projection-strided"]

_VARIANTS: Mapping[Variant, OrderName] = {
    "a": "pre-activation",
    "b": "no-first-relu",
    "c": "last-norm",
    "d": "pyramidal",
}
_SHORTCUTS: Mapping[PyramidShortcut, Shortcut] = {
    "zeros": ZeroPad(subsample="average"),
    "projection": Projection(),
    "projection-strided": Projection(where="strided"),
}


@dataclass(frozen=True, kw_only=True)
class PyramidNet:
    """Units that widen one after another: norm-conv-norm-relu-conv-norm, and a shortcut of zeros.

    Unit k of N is base + alpha·k/N wide (additive) or base·alpha^(k/N) (multiplicative), rounded; four times
    that behind a bottleneck. Where the map halves, the shortcut averages 2x2 pixels, then appends zero channels.
    On CIFAR the stem has a norm but no relu. `dropout` stands between the global pool and the classifier.
    `variant` a is the pre-activated unit, b is a without its first relu, c is a with a norm behind, d both. Other
    shortcuts: a projection with norm wherever the shape changes, which is in every unit that widens, or only where
    the map halves and zeros elsewhere.
    Source: paper, section 3; authors' addpyramidnet.lua and mulpyramidnet.lua; alpha is the total over all units.
    """

    family: ClassVar[str] = "pyramidnet"
    depth: int
    alpha: Fraction
    growth: Growth = "additive"
    unit: Literal["basic", "bottleneck"] = "basic"
    setting: Setting = "cifar"
    dropout: float = 0.0
    variant: Variant = "d"
    shortcut: PyramidShortcut = "zeros"
    multiple_of: int = 1
    rounding: Rounding = "half-up"
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        base = paper_base(self.setting) if self.base is None else self.base
        rule = AdditivePyramid if self.growth == "additive" else MultiplicativePyramid
        return Blueprint(
            stem=stem(self.setting, base, (Norm(),) if self.setting == "cifar" else (Norm(), Relu())),
            units=residual_stages("a PyramidNet", self.depth, self.setting, self.unit),
            widths=rule(
                start=base,
                alpha=self.alpha,
                expansion=4 if self.unit == "bottleneck" else 1,
                multiple_of=self.multiple_of,
                rounding=self.rounding,
            ),
            residual=Residual(
                convs=bottleneck() if self.unit == "bottleneck" else basic(),
                order=ORDERS[_VARIANTS[self.variant]],
                shortcut=_SHORTCUTS[self.shortcut],
            ),
            head=Head(before=(Norm(), Relu()), dropout=Dropout(self.dropout) if self.dropout else None),
        )


NAME = re.compile(
    r"(?P<setting>cifar-|imagenet-)?pyramidnet-(?P<depth>\d{1,10})(?P<unit>-bottleneck)?"
    r"-(?P<growth>[am])(?P<alpha>\d{1,5}(?:\.\d{1,4})?)"
    r"(?:-unit-(?P<variant>[abcd]))?(?:-(?P<shortcut>projection(?:-strided)?))?",
    re.ASCII,
)


def named(match: re.Match[str]) -> PyramidNet:
    """The network of a name; without "imagenet-" it is the CIFAR one, unless the paper's ImageNet table has it."""
    return PyramidNet(
        depth=int(match["depth"]),
        alpha=Fraction(match["alpha"]),
        growth="additive" if match["growth"] == "a" else "multiplicative",
        unit="bottleneck" if match["unit"] else "basic",
        setting=setting_of(match["setting"], listed=False),
        variant=next((variant for variant in _VARIANTS if variant == match["variant"]), "d"),
        shortcut=next((shortcut for shortcut in _SHORTCUTS if shortcut == match["shortcut"]), "zeros"),
    )


def _basic(alpha: str, growth: Growth) -> PyramidNet:
    return PyramidNet(depth=110, alpha=Fraction(alpha), growth=growth)


def _bottleneck(depth: int, alpha: int, setting: Setting, dropout: float = 0.0) -> tuple[str, PyramidNet]:
    design = PyramidNet(depth=depth, alpha=Fraction(alpha), unit="bottleneck", setting=setting, dropout=dropout)
    return f"pyramidnet-{depth}-bottleneck-a{alpha}", design


NAMED: Mapping[str, PyramidNet] = {
    **{f"pyramidnet-110-a{alpha}": _basic(alpha, "additive") for alpha in ("48", "84", "270")},
    **{f"pyramidnet-110-m{alpha}": _basic(alpha, "multiplicative") for alpha in ("4.75", "8", "27")},
    **{
        f"pyramidnet-110-a48-unit-{variant}": replace(_basic("48", "additive"), variant=variant)
        for variant in list(_VARIANTS)[:3]
    },
    **{f"pyramidnet-110-a48-{word}": replace(_basic("48", "additive"), shortcut=word) for word in list(_SHORTCUTS)[1:]},
    **dict(_bottleneck(164, alpha, "cifar") for alpha in (48, 84, 270)),
    **dict(_bottleneck(depth, alpha, "cifar") for depth, alpha in ((200, 240), (236, 220), (272, 200))),
    **dict(_bottleneck(depth, alpha, "imagenet") for depth, alpha in ((101, 250), (101, 360), (152, 200), (200, 300))),
    **dict([_bottleneck(200, 450, "imagenet", dropout=0.5)]),
}


def _used_in(blueprint: Blueprint) -> bool:
    """Widths that grow unit by unit, or a pre-activated unit without its first relu or with a norm behind."""
    order = blueprint.residual.order
    last = order.merged if blueprint.residual.merge == "cascade" else order.last
    reordered = Norm in kinds(order.ahead) and (Relu not in kinds(order.ahead) or Norm in kinds(last))
    return reordered or not isinstance(blueprint.widths, PerStage)


_PAPER = Paper(
    key="han2017pyramidal",
    title="Deep Pyramidal Residual Networks",
    authors=("Dongyoon Han", "Jiwhan Kim", "Junmo Kim"),
    booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2017,
    arxiv="1610.02915",
    used_in=_used_in,
)


def _sources(design: PyramidNet) -> tuple[str, ...]:
    return (f"{_PAPER}: section 3, the unit ({design.variant}).",)


PYRAMIDNET = Family(
    design=PyramidNet,
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="pyramidnet-{depth}{unit}-{growth}{alpha}",
        words={"basic": "", "bottleneck": "-bottleneck", "additive": "a", "multiplicative": "m"},
        ends={
            "variant": "-unit-{}",
            "shortcut": {"projection": "-projection", "projection-strided": "-projection-strided"},
        },
    ),
    named=NAMED,
    paper=_PAPER,
    sizes={"depth": range(1, 273), "alpha": range(1, 513)},
    colour="#cc79a7",
    shape="triangle-down",
    label="PyramidNet",
    sources=_sources,
    recipes=(
        "pyramidnet-cifar-10",
        "pyramidnet-cifar-100",
        "pyramidnet-shakedrop-cifar-100",
        "pyramidnet-shakedrop-cifar",
        "pyramidnet-imagenet",
        "pyramidnet-imagenet-port",
    ),
    spellings="pyramid-?net",
)
