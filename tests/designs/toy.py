"""A family that is one file: a pre-activation network with a single stage; see `test_toy_family`."""

import re
from dataclasses import dataclass
from typing import ClassVar

from resatlas.arch.blueprint import Blueprint, Head
from resatlas.arch.ops import Norm, Relu
from resatlas.arch.residual import PRE_ACTIVATION, Projection, Residual, basic
from resatlas.arch.widths import doubling
from resatlas.designs.family import Family, Grammar, Paper
from resatlas.designs.tasks import Setting, equal_stages, paper_base, stem


@dataclass(frozen=True, kw_only=True)
class ToyNet:
    """y = shortcut(x) + body(relu(norm(x))) with a projection in every unit; depth 6n + 2."""

    family: ClassVar[str] = "toy"
    depth: int
    widen: int = 1
    base: int | None = None

    def __post_init__(self) -> None:
        self.blueprint()

    @property
    def setting(self) -> Setting:
        """CIFAR."""
        return "cifar"

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        width = (paper_base("cifar") if self.base is None else self.base) * self.widen
        return Blueprint(
            stem=stem("cifar", width, ()),
            units=equal_stages("a toy network", self.depth, step=6, rest=2),
            widths=doubling(width, 3),
            residual=Residual(convs=basic(), order=PRE_ACTIVATION, shortcut=Projection(where="everywhere", after=())),
            head=Head(before=(Norm(), Relu())),
        )


def _read(match: re.Match[str]) -> ToyNet:
    return ToyNet(depth=int(match["depth"]), widen=int(match["widen"] or 1))


FAMILY = Family(
    design=ToyNet,
    grammar=Grammar(
        pattern=re.compile(r"toy-(?P<depth>\d{1,10})(?:-w(?P<widen>\d{1,4}))?", re.ASCII),
        read=_read,
        head="toy-{depth}",
        ends={"widen": "-w{}"},
    ),
    named={f"toy-{depth}": ToyNet(depth=depth) for depth in (8, 14)},
    paper=Paper(
        key="nobody2026toys",
        title="Toy Networks",
        authors=("Ada Example", "Ben Example"),
        booktitle="Nowhere",
        year=2026,
        arxiv="2601.00001",
    ),
    sizes={"depth": range(1, 51), "widen": range(1, 5)},
    colour="#123456",
    shape="circle",
    label="ToyNet",
    sources=lambda design: (f"{FAMILY.paper}: the network of depth {design.depth}.",),
    recipes=("resnet-cifar",),
)
