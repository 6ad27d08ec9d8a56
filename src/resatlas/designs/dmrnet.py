"""DMRNet (merge-and-run), DILNet (inception-like) and their ImageNet twin (arXiv:1611.07718; IJCAI 2018)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, assert_never

from resatlas.arch.blueprint import Blueprint, Initial
from resatlas.arch.ops import Norm, Relu
from resatlas.arch.residual import POST_ACTIVATION, Omit, Projection, Residual, Shortcut, basic, bottleneck, with_eps
from resatlas.arch.streams import Join, MergeAndRun
from resatlas.arch.widths import doubling
from resatlas.designs.setting import Setting, equal_stages, listed_stages, paper_base, stem

EPS = 2e-5
"""Source: authors' network/*.py, batch normalisation everywhere."""

ORDER = with_eps(POST_ACTIVATION, EPS)
SHORTCUT = Projection(after=(Norm(EPS),))
STEM = (Norm(EPS), Relu())
INITIAL = Initial(fan="in")
"""Source: authors' utility.py, variance 2/fan-in."""

Version = Literal["cifar", "v2", "ijcai"]

JOINS: Mapping[Version, Join] = {"cifar": "merge", "v2": "sum", "ijcai": "concat"}
"""Source: network/cross.py; network/imagenet/symbol_cross.py at the first commit; symbol_cross.py."""

V2_UNITS = {44: (2, 2, 8, 2)}
IJCAI_UNITS = {50: (1, 2, 11, 2)}
IJCAI_TWIN_UNITS = {98: (2, 4, 22, 4)}
"""Units per stage by depth. Source: authors' ImageNet symbols, the one that has the printed size."""


@dataclass(frozen=True, kw_only=True)
class DmrNet:
    """y_k = relu(H_k(x_k) + mean of the K shortcuts); both streams start from one stem and end in one classifier.

    CIFAR: depth 6n + 2 with n units of `streams` basic bodies a stage; stem and stages `widen` times as wide.
    v2 and ijcai: the ImageNet networks of bottlenecks; ijcai has a bare stem, no shortcut where the shape changes,
    and hands all streams side by side to the classifier.
    Source: paper, section 3, Table 3; authors' network/cross.py; zlmzju/fusenet commit 783185b for v2.
    """

    family: ClassVar[str] = "dmrnet"
    depth: int
    streams: int = 2
    widen: int = 1
    version: Version = "cifar"
    join: Join | None = None
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    @property
    def setting(self) -> Setting:
        """CIFAR, or ImageNet for its two versions."""
        return "cifar" if self.version == "cifar" else "imagenet"

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        streams = MergeAndRun(count=self.streams, join=self.join or JOINS[self.version])
        width = (paper_base(self.setting) if self.base is None else self.base) * self.widen
        match self.version:
            case "cifar":
                return Blueprint(
                    stem=stem("cifar", width, STEM),
                    units=equal_stages("a DMRNet for CIFAR", self.depth, step=6, rest=2),
                    widths=doubling(width, 3),
                    residual=Residual(convs=basic(), order=ORDER, shortcut=SHORTCUT),
                    streams=streams,
                    initial=INITIAL,
                )
            case "v2":
                units = listed_stages("a DMRNet v2 for ImageNet", self.depth, V2_UNITS)
                return _imagenet(units, width, SHORTCUT, bare_stem=False, streams=streams)
            case "ijcai":
                units = listed_stages("an IJCAI DMRNet for ImageNet", self.depth, IJCAI_UNITS)
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
            stem=stem("cifar", width, STEM),
            units=equal_stages("a DILNet", self.depth, step=6, rest=2),
            widths=doubling(width, 3),
            residual=Residual(convs=basic(), order=ORDER, shortcut=SHORTCUT, bodies=self.branches),
            initial=INITIAL,
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
        units = listed_stages("the IJCAI version's ResNet", self.depth, IJCAI_TWIN_UNITS)
        return _imagenet(units, 64 if self.base is None else self.base, Omit(), bare_stem=True)


def _imagenet(
    units: tuple[int, ...], base: int, shortcut: Shortcut, *, bare_stem: bool, streams: MergeAndRun | None = None
) -> Blueprint:
    blueprint = Blueprint(
        stem=stem("imagenet", base, () if bare_stem else STEM),
        units=units,
        widths=doubling(4 * base, 4),
        residual=Residual(convs=bottleneck(), order=ORDER, shortcut=shortcut),
        initial=INITIAL,
    )
    return replace(blueprint, streams=streams) if streams else blueprint


NAME = re.compile(
    r"(?P<family>dmrnet|dilnet|resnet)-(?P<depth>\d{1,10})(?:-w(?P<widen>\d{1,4}))?(?:-k(?P<streams>\d{1,3}))?"
    r"(?:-(?P<version>v2|ijcai))?",
    re.ASCII,
)


def named(match: re.Match[str]) -> DmrNet | DilNet | IjcaiResNet | None:
    """The network of a name; "resnet" is ours only with "-ijcai"."""
    depth, widen, streams = int(match["depth"]), int(match["widen"] or 1), int(match["streams"] or 2)
    version = match["version"]
    match match["family"]:
        case "dmrnet":
            versions: dict[str | None, Version] = {"v2": "v2", "ijcai": "ijcai"}
            return DmrNet(depth=depth, streams=streams, widen=widen, version=versions.get(version, "cifar"))
        case "dilnet" if not version:
            return DilNet(depth=depth, branches=streams, widen=widen)
        case "resnet" if version == "ijcai" and not match["widen"] and not match["streams"]:
            return IjcaiResNet(depth=depth)
        case _:
            return None


NAMED: Mapping[str, DmrNet | DilNet | IjcaiResNet] = {
    **{f"dmrnet-{depth}": DmrNet(depth=depth) for depth in (8, 14, 20, 26, 32, 38, 44, 50, 56)},
    **{f"dmrnet-{depth}-w4": DmrNet(depth=depth, widen=4) for depth in (32, 50)},
    **{f"dmrnet-{depth}-k{k}": DmrNet(depth=depth, streams=k) for depth, k in ((74, 1), (26, 3), (20, 4), (14, 6))},
    **{f"dilnet-{depth}": DilNet(depth=depth) for depth in (8, 14, 20, 26)},
    "dmrnet-44-v2": DmrNet(depth=44, version="v2"),
    "dmrnet-50-ijcai": DmrNet(depth=50, version="ijcai"),
    "resnet-98-ijcai": IjcaiResNet(),
}
