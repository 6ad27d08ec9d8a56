"""DMRNet (merge-and-run), DILNet (inception-like) and their ImageNet twin (arXiv:1611.07718; IJCAI 2018)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, assert_never

from resatlas.arch.blueprint import Blueprint, Initial
from resatlas.arch.ops import Norm, Relu, Scale
from resatlas.arch.residual import (
    POST_ACTIVATION,
    Omit,
    Projection,
    Residual,
    Shortcut,
    basic,
    bottleneck,
    modified,
    with_eps,
)
from resatlas.arch.streams import SKIPS, Join, MergeAndRun, Single, Skip
from resatlas.arch.widths import doubling
from resatlas.designs.family import Family, Grammar, Paper, kinds
from resatlas.designs.tasks import Setting, equal_stages, listed_stages, paper_base, stem
from resatlas.errors import DesignError

_EPS = 2e-5
"""Source: authors' network/*.py, batch normalisation everywhere."""

_ORDER = with_eps(POST_ACTIVATION, _EPS)
_SHORTCUT = Projection(after=(Norm(_EPS),))
_STEM = (Norm(_EPS), Relu())
_INITIAL = Initial(fan="in")
"""Source: authors' utility.py, variance 2/fan-in."""

Version = Literal["cifar", "v2", "ijcai"]

_JOINS: Mapping[Version, Join] = {"cifar": "merge", "v2": "sum", "ijcai": "concat"}
"""Source: network/cross.py; network/imagenet/symbol_cross.py at the first commit; symbol_cross.py."""

_V2_UNITS = {44: (2, 2, 8, 2)}
_IJCAI_UNITS = {50: (1, 2, 11, 2)}
_IJCAI_TWIN_UNITS = {98: (2, 4, 22, 4)}
"""Units per stage by depth. Source: authors' ImageNet symbols, the one that has the printed size."""


@dataclass(frozen=True, kw_only=True)
class DmrNet:
    """y_k = relu(H_k(x_k) + mean of the K shortcuts); both streams start from one stem and end in one classifier.

    CIFAR: depth 6n + 2 with n units of `streams` basic bodies a stage; stem and stages `widen` times as wide.
    v2 and ijcai: the ImageNet networks of bottlenecks; ijcai has a bare stem, no shortcut where the shape changes,
    and hands all streams side by side to the classifier. `skip` and `join`: see `arch.streams`. With separate `ends`
    every stream has a stem and a classifier of its own; the logits are averaged, our reading of Table 5. `modified`
    changes each shortcut before they meet, see `arch.residual.modified`: scale-0.9-1 makes the skip matrix M 0.9·M.
    Source: paper, section 3, Tables 3 and 5; authors' network/cross.py; zlmzju/fusenet commit 783185b for v2.
    """

    family: ClassVar[str] = "dmrnet"
    depth: int
    streams: int = 2
    widen: int = 1
    version: Version = "cifar"
    join: Join | None = None
    skip: Skip = "mean"
    ends: Literal["shared", "separate"] = "shared"
    modified: str = "none"
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    @property
    def setting(self) -> Setting:
        """CIFAR, or ImageNet for its two versions."""
        return "cifar" if self.version == "cifar" else "imagenet"

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        whole = self._unmodified()
        return replace(whole, residual=modified(whole.residual, self.modified))

    def _unmodified(self) -> Blueprint:
        if self.ends == "separate" and self.join not in (None, "logits"):
            raise DesignError(f"separate ends join in the logits; join {self.join} needs shared ends")
        join = "logits" if self.ends == "separate" else self.join or _JOINS[self.version]
        streams = MergeAndRun(count=self.streams, join=join, skip=self.skip, stems=self.ends)
        width = (paper_base(self.setting) if self.base is None else self.base) * self.widen
        match self.version:
            case "cifar":
                return Blueprint(
                    stem=stem("cifar", width, _STEM),
                    units=equal_stages("a DMRNet for CIFAR", self.depth, step=6, rest=2),
                    widths=doubling(width, 3),
                    residual=Residual(convs=basic(), order=_ORDER, shortcut=_SHORTCUT),
                    streams=streams,
                    initial=_INITIAL,
                )
            case "v2":
                units = listed_stages("a DMRNet v2 for ImageNet", self.depth, _V2_UNITS)
                return _imagenet(units, width, _SHORTCUT, bare_stem=False, streams=streams)
            case "ijcai":
                units = listed_stages("an IJCAI DMRNet for ImageNet", self.depth, _IJCAI_UNITS)
                return _imagenet(units, width, Omit(), bare_stem=True, streams=streams)
            case _:
                assert_never(self.version)


@dataclass(frozen=True, kw_only=True)
class DilNet:
    """y = relu(x + H_1(x) + … + H_B(x)): parallel bodies under one shortcut.

    Depth 6n + 2 with n units a stage; stem and stages `widen` times as wide.
    Source: DMRNet paper, section 3; authors' network/half.py.
    """

    family: ClassVar[str] = "dilnet"
    depth: int
    branches: int = 2
    widen: int = 1
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    @property
    def setting(self) -> Setting:
        """CIFAR: the paper has no other."""
        return "cifar"

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        width = (paper_base("cifar") if self.base is None else self.base) * self.widen
        return Blueprint(
            stem=stem("cifar", width, _STEM),
            units=equal_stages("a DILNet", self.depth, step=6, rest=2),
            widths=doubling(width, 3),
            residual=Residual(convs=basic(), order=_ORDER, shortcut=_SHORTCUT, bodies=self.branches),
            initial=_INITIAL,
        )


@dataclass(frozen=True, kw_only=True)
class FusedNet:
    """A plain network of depth 2L + 2 cut into `blocks` residual units: 3 of 2L/3 convolutions, or 6 of L/3.

    Source: DMRNet paper, Fig. 6; authors' fuse3 and fuse6. Differs: their files are not described further; ours has
    DMRNet's eps and projections.
    """

    family: ClassVar[str] = "resnet"
    depth: int
    blocks: Literal[3, 6] = 3
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    @property
    def setting(self) -> Setting:
        """CIFAR: the paper has no other."""
        return "cifar"

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        width = paper_base("cifar") if self.base is None else self.base
        per_stage = self.blocks // 3
        convs = 2 * equal_stages("a fused network", self.depth, step=6, rest=2)[0] // per_stage
        return Blueprint(
            stem=stem("cifar", width, _STEM),
            units=(per_stage,) * 3,
            widths=doubling(width, 3),
            residual=Residual(convs=basic((3,) * convs), order=_ORDER, shortcut=_SHORTCUT),
            initial=_INITIAL,
        )


@dataclass(frozen=True, kw_only=True)
class IjcaiResNet:
    """The single-stream ImageNet network that the IJCAI version compares with.

    Source: zlmzju/fusenet, network/imagenet/symbol_resnet.py.
    """

    family: ClassVar[str] = "resnet"
    depth: int = 98
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    @property
    def setting(self) -> Setting:
        """ImageNet: the paper has no other."""
        return "imagenet"

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        units = listed_stages("the IJCAI version's ResNet", self.depth, _IJCAI_TWIN_UNITS)
        return _imagenet(units, 64 if self.base is None else self.base, Omit(), bare_stem=True)


def _imagenet(
    units: tuple[int, ...], base: int, shortcut: Shortcut, *, bare_stem: bool, streams: MergeAndRun | None = None
) -> Blueprint:
    blueprint = Blueprint(
        stem=stem("imagenet", base, () if bare_stem else _STEM),
        units=units,
        widths=doubling(4 * base, 4),
        residual=Residual(convs=bottleneck(), order=_ORDER, shortcut=shortcut),
        initial=_INITIAL,
    )
    return replace(blueprint, streams=streams) if streams else blueprint


NAME = re.compile(
    r"(?P<family>dmrnet|dilnet|resnet|fuse3|fuse6)-(?P<depth>\d{1,10})(?:-w(?P<widen>\d{1,4}))?"
    r"(?:-k(?P<streams>\d{1,3}))?(?:-(?P<version>v2|ijcai))?(?:-(?P<skip>identity|swap|projector))?"
    r"(?:-(?P<join>merge|sum|concat))?(?:-(?P<ends>separate))?",
    re.ASCII,
)


def named(match: re.Match[str]) -> DmrNet | DilNet | FusedNet | IjcaiResNet | None:
    """The network of a name; "resnet" is ours only with "-ijcai"."""
    depth, widen, streams = int(match["depth"]), int(match["widen"] or 1), int(match["streams"] or 2)
    present = {key for key in ("widen", "streams", "version", "skip", "join", "ends") if match[key]}
    match match["family"]:
        case "dmrnet":
            return DmrNet(
                depth=depth,
                streams=streams,
                widen=widen,
                version=next((version for version in _JOINS if version == match["version"]), "cifar"),
                skip=next((skip for skip in SKIPS if skip == match["skip"]), "mean"),
                join=next((join for join in _JOINS.values() if join == match["join"]), None),
                ends="separate" if match["ends"] else "shared",
            )
        case "dilnet" if present <= {"widen", "streams"}:
            return DilNet(depth=depth, branches=streams, widen=widen)
        case "fuse3" | "fuse6" if not present:
            return FusedNet(depth=depth, blocks=3 if match["family"] == "fuse3" else 6)
        case "resnet" if present == {"version"} and match["version"] == "ijcai":
            return IjcaiResNet(depth=depth)
        case _:
            return None


NAMED: Mapping[str, DmrNet | DilNet | FusedNet | IjcaiResNet] = {
    **{f"dmrnet-{depth}": DmrNet(depth=depth) for depth in (8, 14, 20, 26, 32, 38, 44, 50, 56)},
    **{f"dmrnet-{depth}-w4": DmrNet(depth=depth, widen=4) for depth in (32, 50)},
    **{f"dmrnet-{depth}-k{k}": DmrNet(depth=depth, streams=k) for depth, k in ((74, 1), (26, 3), (20, 4), (14, 6))},
    **{f"dilnet-{depth}": DilNet(depth=depth) for depth in (8, 14, 20, 26)},
    **{f"dmrnet-56-{skip}": DmrNet(depth=56, skip=skip) for skip in SKIPS[1:]},
    "dmrnet-56-separate": DmrNet(depth=56, ends="separate"),
    "dmrnet-56-identity-separate": DmrNet(depth=56, skip="identity", ends="separate"),
    **{f"fuse3-{depth}": FusedNet(depth=depth, blocks=3) for depth in (20, 38, 56, 74, 110)},
    **{f"fuse6-{depth}": FusedNet(depth=depth, blocks=6) for depth in (20, 38, 56, 74, 110)},
    "dmrnet-44-v2": DmrNet(depth=44, version="v2"),
    "dmrnet-50-ijcai": DmrNet(depth=50, version="ijcai"),
    "resnet-98-ijcai": IjcaiResNet(),
}


def _used_in(blueprint: Blueprint) -> bool:
    """Several streams, or parallel bodies that are each normalised and summed under one shortcut."""
    unit = blueprint.residual
    parallel = unit.bodies > 1 and not {Norm, Scale} & kinds(unit.order.merged)
    return parallel or not isinstance(blueprint.streams, Single)


_PAPER = Paper(
    key="zhao2018mergeandrun",
    title="Deep Convolutional Neural Networks with Merge-and-Run Mappings",
    authors=(
        *("Liming Zhao", "Mingjie Li", "Depu Meng", "Xi Li"),
        *("Zhaoxiang Zhang", "Yueting Zhuang", "Zhuowen Tu", "Jingdong Wang"),
    ),
    booktitle="International Joint Conference on Artificial Intelligence (IJCAI)",
    year=2018,
    arxiv="1611.07718",
    used_in=_used_in,
)
"""Differs: on arXiv it is by Liming Zhao, Jingdong Wang, Xi Li, Zhuowen Tu and Wenjun Zeng."""

_VERSIONS: Mapping[Version, str] = {
    "cifar": "authors' network/cross.py",
    "v2": "authors' first network/imagenet/symbol_cross.py",
    "ijcai": "the IJCAI version's network/imagenet/symbol_cross.py",
}


def _sources(design: DmrNet | DilNet | FusedNet | IjcaiResNet) -> tuple[str, ...]:
    match design:
        case DmrNet():
            compared = ", Table 5" if design.skip == "identity" or design.ends == "separate" else ""
            what = f"section 3{compared}; {_VERSIONS[design.version]}"
        case DilNet():
            what = "section 3, the inception-like blocks"
        case FusedNet():
            what = f"Fig. 6, a plain network cut into {design.blocks} residual units"
        case IjcaiResNet():
            what = "the ResNet that its IJCAI version compares with"
        case _:
            assert_never(design)
    return (f"{_PAPER}: {what}.",)


_RECIPES = (
    "dmrnet-cifar",
    "dmrnet-svhn",
    "dmrnet-imagenet-v2",
    "dmrnet-imagenet-ijcai",
)

DMRNET = Family(
    design=DmrNet,
    others=(FusedNet, IjcaiResNet),
    grammar=Grammar(
        pattern=NAME,
        read=named,
        head="dmrnet-{depth}",
        ends={
            "widen": "-w{}",
            "streams": "-k{}",
            "version": "-{}",
            "skip": {skip: f"-{skip}" for skip in ("identity", "swap", "projector")},
            "join": {join: f"-{join}" for join in ("merge", "sum", "concat")},
            "ends": {"separate": "-separate"},
        },
    ),
    named=NAMED,
    paper=_PAPER,
    sizes={"depth": range(1, 111), "streams": range(1, 9), "widen": range(1, 17)},
    colour="#222222",
    shape="triangle-right",
    label="DMRNet",
    sources=_sources,
    recipes=_RECIPES,
)

DILNET = Family(
    design=DilNet,
    grammar=Grammar(pattern=NAME, read=named, head="dilnet-{depth}", ends={"widen": "-w{}", "branches": "-k{}"}),
    paper=_PAPER,
    sizes={"depth": range(1, 111), "branches": range(1, 9), "widen": range(1, 17)},
    colour="#8a8a8a",
    shape="triangle-left",
    label="DILNet",
    sources=_sources,
    recipes=_RECIPES,
)
