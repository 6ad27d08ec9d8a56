"""The usual images of the papers' networks, and the depths and stems that depend on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

from resatlas.arch.blueprint import MOST_UNITS, Blueprint, Stem
from resatlas.arch.ops import MaxPool, Norm, Relu, Shape
from resatlas.arch.residual import Rule
from resatlas.errors import DepthError, UsageError

Setting = Literal["cifar", "imagenet"]


def setting_of(prefix: str | None, *, listed: bool) -> Setting:
    """The setting of a name by its prefix; without one, ImageNet's if its depth is `listed` there."""
    if prefix:
        return "imagenet" if prefix == "imagenet-" else "cifar"
    return "imagenet" if listed else "cifar"


IMAGENET_UNITS: Mapping[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
"""Units per stage by depth. Source: ResNet paper, Table 1; 200: pre-activation paper, footnote 3."""

IMAGENET_BASIC = (18, 34)
"""Depths with basic units; the others have bottlenecks."""


@runtime_checkable
class Design(Protocol):
    """The knobs of a paper, checked at construction; `blueprint` translates them."""

    family: ClassVar[str]

    @property
    def depth(self) -> int:
        """The depth as the paper counts it."""
        ...

    @property
    def setting(self) -> Setting:
        """The images of the paper's network."""
        ...

    def blueprint(self) -> Blueprint:
        """The network in independent parts."""
        ...


@dataclass(frozen=True)
class Task:
    """The images and classes that a network is usually for."""

    image: Shape
    classes: int


TASKS: Mapping[Setting, Task] = {
    "cifar": Task(Shape(3, 32, 32), 10),
    "imagenet": Task(Shape(3, 224, 224), 1000),
}


def image_shape(text: str) -> Shape:
    """The shape written C,H,W.

    Raises: UsageError
    """
    numbers = text.split(",")
    if len(numbers) != 3 or not all(number.strip().isdecimal() and len(number) < 8 for number in numbers):
        raise UsageError(f'expected channels, height and width, as in 3,32,32; got "{text[:40]}"')
    return Shape(*map(int, numbers))


STAGES: Mapping[Setting, int] = {"cifar": 3, "imagenet": 4}


def stem(setting: Setting, width: int, after: tuple[Rule, ...] = (Norm(), Relu())) -> Stem:
    """conv3x3 on CIFAR; conv7x7/2 and a 3x3/2 max pool on ImageNet.

    Source: ResNet paper (arXiv:1512.03385), Table 1 and section 4.2.
    """
    if setting == "cifar":
        return Stem(width=width, after=after)
    return Stem(kernel=7, width=width, stride=2, after=after, pool=MaxPool())


PAPER_BASES: Mapping[Setting, int] = {"cifar": 16, "imagenet": 64}
"""The papers' unmultiplied first widths."""


def paper_base(setting: Setting) -> int:
    """The papers' unmultiplied first width: 16 on CIFAR, 64 on ImageNet."""
    return PAPER_BASES[setting]


def equal_stages(what: str, depth: int, *, step: int, rest: int) -> tuple[int, int, int]:
    """(n, n, n) units with depth = step·n + rest.

    Raises: DepthError with the nearest depths otherwise.
    """
    n, over = divmod(depth - rest, step)
    most = MOST_UNITS // 3
    if over or not 1 <= n <= most:
        allowed = [step * min(max(k, 1), most) + rest for k in (n, n + 1)]
        near = ", ".join(str(near_depth) for near_depth in sorted(set(allowed)))
        if not over and n > most:
            raise DepthError(f"{what} has at most depth {step * most + rest}; got {depth}")
        raise DepthError(f"{what} has depth {step}n + {rest}; {depth} is not (nearest: {near})")
    return n, n, n


def listed_stages(what: str, depth: int, known: Mapping[int, tuple[int, ...]]) -> tuple[int, ...]:
    """The units per stage that a table gives for a depth.

    Raises: DepthError with the depths of the table.
    """
    if depth not in known:
        nearest = min(known, key=lambda listed: abs(listed - depth))
        depths = ", ".join(map(str, known))
        raise DepthError(f"{what} has depth {depths}; got {depth} (nearest: {nearest})")
    return known[depth]
