"""One residual unit, free of any width: its convolutions, their order, its shortcut."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from resatlas.arch.ops import Conv, Dropout, Norm, Relu
from resatlas.errors import DesignError

Rule = Norm | Relu | Dropout
"""An operation that keeps the shape."""

Position = Literal["network-start", "stage-start", "projected"]
"""The first unit of the network; the first unit of a later stage; a unit whose shortcut is a projection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """What stands around the convolutions of a unit.

    x -> first -> conv -> between -> conv -> … -> last   in each body
      -> merged                                         once the bodies are one tensor
      -> + shortcut -> after_sum
    """

    first: tuple[Rule, ...] = ()
    between: tuple[Rule, ...] = ()
    last: tuple[Rule, ...] = ()
    merged: tuple[Rule | Conv, ...] = ()
    after_sum: tuple[Rule, ...] = ()


POST_ACTIVATION = Ordering(between=(Norm(), Relu()), last=(Norm(),), after_sum=(Relu(),))
PRE_ACTIVATION = Ordering(first=(Norm(), Relu()), between=(Norm(), Relu()))
PYRAMIDAL = Ordering(first=(Norm(),), between=(Norm(), Relu()), last=(Norm(),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroPad:
    """Parameter-free: fewer pixels by a stride or by averaging, then channels of zeros at the end."""

    subsample: Literal["stride", "average"] = "stride"


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A strided 1x1 convolution, then `after`; the identity where nothing is resized, unless `where` is everywhere."""

    after: tuple[Rule, ...] = (Norm(),)
    where: Literal["resized", "everywhere"] = "resized"


@dataclass(frozen=True, slots=True)
class Omit:
    """The identity, and no shortcut at all where the shape changes."""


@dataclass(frozen=True, slots=True)
class Absent:
    """No shortcut in any unit: a plain network."""


Shortcut = ZeroPad | Projection | Omit | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """x -> after_sum(shortcut(x) + merge(body(first(x)), …)).

    `shares` lists the positions at which the shortcut reads first(x) in place of x.
    `opening` says whether the first unit of the network has its `first` ops or takes the stem as it comes.
    """

    convs: tuple[Conv, ...]
    order: Ordering = POST_ACTIVATION
    shortcut: Shortcut = Projection()
    shares: tuple[Position, ...] = ()
    opening: Literal["ordered", "bare"] = "ordered"
    bodies: int = 1
    merge: Literal["sum", "concat"] = "sum"

    def __post_init__(self) -> None:
        if not 1 <= len(self.convs) <= 32:
            raise DesignError(f"a unit has 1 to 32 convolutions; {len(self.convs)} is outside")
        takers = sum(conv.strided for conv in self.convs)
        if takers != 1:
            raise DesignError(
                f"exactly one convolution of a unit takes its stride; of these {len(self.convs)}, {takers} do"
            )
        if not 1 <= self.bodies <= 256:
            raise DesignError(f"a unit has 1 to 256 bodies; {self.bodies} is outside")


def basic(kernels: Iterable[int] = (3, 3)) -> tuple[Conv, ...]:
    """Convolutions of one width, the first of them strided.

    Source: ResNet paper (arXiv:1512.03385); block types B(…) of Wide ResNet (arXiv:1605.07146), section 2.1.
    """
    return tuple(Conv(kernel, strided=index == 0) for index, kernel in enumerate(kernels))


def bottleneck(
    inner: Fraction = Fraction(1, 4),
    *,
    groups: int = 1,
    strided: Literal["first", "3x3"] = "3x3",
) -> tuple[Conv, ...]:
    """1x1 down to a share `inner` of the output, 3x3 in groups, 1x1 up again.

    Source: ResNet paper (arXiv:1512.03385), stride on the first 1x1; ResNeXt (arXiv:1611.05431), on the 3x3.
    """
    return (
        Conv(1, inner, strided=strided == "first"),
        Conv(3, inner, strided=strided == "3x3", groups=groups),
        Conv(1),
    )


def with_eps(order: Ordering, eps: float) -> Ordering:
    """The same order with every normalisation at another eps."""

    def renewed(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(Norm(eps) if isinstance(rule, Norm) else rule for rule in rules)

    return replace(
        order,
        first=renewed(order.first),
        between=renewed(order.between),
        last=renewed(order.last),
        merged=tuple(Norm(eps) if isinstance(rule, Norm) else rule for rule in order.merged),
        after_sum=renewed(order.after_sum),
    )
