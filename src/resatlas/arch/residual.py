"""One residual unit without widths: its convolutions, their order, its shortcut."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import takewhile
from typing import Literal, TypeVar

from resatlas.arch.ops import Conv, Dropout, Norm, Relu, Scale
from resatlas.errors import DesignError, quoted
from resatlas.values.codec import LATER

Rule = Norm | Relu | Dropout | Scale
"""An operation that keeps the shape."""

R = TypeVar("R")

_MOST_CONVS = 512

Position = Literal["network-start", "stage-start", "projected"]
"""The first unit of the network; the first unit of a later stage; a unit whose shortcut is a projection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """The operations around the convolutions of a unit.

    x -> first -> conv -> between -> conv -> … -> last   in each body
      -> merged                                         once the bodies are one tensor
      -> + shortcut(x), itself followed by `shortcut` -> after_sum
    """

    first: tuple[Rule | Conv, ...] = ()
    between: tuple[Rule, ...] = ()
    last: tuple[Rule, ...] = ()
    merged: tuple[Rule | Conv, ...] = ()
    shortcut: tuple[Rule, ...] = ()
    after_sum: tuple[Rule, ...] = ()

    @property
    def ahead(self) -> tuple[Rule | Conv, ...]:
        """The operations before the first convolution of the unit."""
        return tuple(takewhile(lambda op: not isinstance(op, Conv), self.first))


_BETWEEN = (Norm(), Relu())

POST_ACTIVATION = Ordering(between=_BETWEEN, last=(Norm(),), after_sum=(Relu(),))
PRE_ACTIVATION = Ordering(first=(Norm(), Relu()), between=_BETWEEN)
PYRAMIDAL = Ordering(first=(Norm(),), between=_BETWEEN, last=(Norm(),))

OrderName = Literal[
    "post-activation",
    "bn-after-add",
    "relu-before-add",
    "relu-only-preact",
    "pre-activation",
    "no-first-relu",
    "last-norm",
    "pyramidal",
]

ORDERS: Mapping[OrderName, Ordering] = {
    "post-activation": POST_ACTIVATION,
    "bn-after-add": Ordering(between=_BETWEEN, after_sum=(Norm(), Relu())),
    "relu-before-add": Ordering(between=_BETWEEN, last=(Norm(), Relu())),
    "relu-only-preact": Ordering(first=(Relu(),), between=_BETWEEN, last=(Norm(),)),
    "pre-activation": PRE_ACTIVATION,
    "no-first-relu": Ordering(first=(Norm(),), between=_BETWEEN),
    "last-norm": Ordering(first=(Norm(), Relu()), between=_BETWEEN, last=(Norm(),)),
    "pyramidal": PYRAMIDAL,
}
"""Sources: the first five are (a)-(e) of the pre-activation paper (arXiv:1603.05027), Table 2; the last four, with
"pre-activation" among both, are (a)-(d) of PyramidNet (arXiv:1610.02915). The papers do not print them operation by
operation: the readings of "bn-after-add", "relu-before-add" and "relu-only-preact" are the common ones."""


BEFORE_POOL: Mapping[OrderName, tuple[Rule, ...]] = {
    "post-activation": (),
    "bn-after-add": (),
    "relu-before-add": (),
    "relu-only-preact": (Relu(),),
    "pre-activation": (Norm(), Relu()),
    "no-first-relu": (Norm(), Relu()),
    "last-norm": (Norm(), Relu()),
    "pyramidal": (Norm(), Relu()),
}
"""The operations between the last sum of each order and the pool: none if the sum is activated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroPad:
    """Without parameters: subsampling by stride or average, then zero channels at the end or on both sides."""

    subsample: Literal["stride", "average"] = "stride"
    place: Literal["end", "sides"] = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A 1x1 convolution, then `after`, in the units that `where` names; the identity in the others.

    The convolution has the unit's stride, or follows an average pool of that stride. "shifted" is two convolutions of
    half the width, side by side, in every unit that projects: of every stride-th pixel, and of every stride-th pixel of
    the input moved by one pixel. With `where` "strided", only units with a stride project; a unit that widens without a
    stride appends zeros.
    Source: "average" is ResNet-D of the bag of tricks (arXiv:1812.01187), Fig. 2c; "shifted" is shake-shake
    (arXiv:1705.07485), section 2.1, and the author's shakeshakeblock.lua.
    """

    after: tuple[Rule, ...] = (Norm(),)
    where: Literal["resized", "strided", "everywhere"] = "resized"
    subsample: Literal["stride", "average", "shifted"] = field(default="stride", metadata=LATER)


@dataclass(frozen=True, slots=True)
class Omit:
    """The identity, and no shortcut where the shape changes."""


@dataclass(frozen=True, slots=True)
class Absent:
    """No shortcut in any unit: a plain network."""


Shortcut = ZeroPad | Projection | Omit | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Gating:
    """g = sigmoid(conv1x1(s) + b) for the output s of the shortcut; b starts at `bias`.

    scales both: g·body + (1 - g)·s, the exclusive gate; shortcut: body + (1 - g)·s.
    Source: pre-activation paper (arXiv:1603.05027), section 3.1. Differs: where a unit changes the shape the paper
    leaves open what the gate reads; ours reads s, which is x everywhere else.
    """

    bias: float
    scales: Literal["both", "shortcut"]

    def __post_init__(self) -> None:
        if not -64 <= self.bias <= 64:
            raise DesignError(f"a gate's bias starts between -64 and 64; got {self.bias}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Excitation:
    """h -> g·h per channel: g = sigmoid(W2·relu(W1·m + b1) + b2), m the mean of h over all positions.

    Between W1 and W2 there is the share `ratio` of the channels of h, or of those of the unit's input; at least one.
    Source: squeeze and excitation (arXiv:1709.01507), section 3; of the input as in RegNetY (arXiv:2003.13678).
    """

    ratio: Fraction = Fraction(1, 16)
    of: Literal["body", "input"] = "body"

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 4:
            raise DesignError(f"a ratio of excitation is above 0 and at most 4; got {self.ratio}")


@dataclass(frozen=True, slots=True)
class ChannelAttention:
    """h -> g·h per channel: g = sigmoid(w * m), m the mean of h over all positions, * along the channels.

    For c channels w has k = |log2(c)/2 + 1/2| values, rounded down and made odd; at least 3.
    Source: ECA (arXiv:1910.03151), equation 12, with its gamma of 2 and b of 1; authors' code.
    """

    def kernel(self, channels: int) -> int:
        """The number of weights."""
        return max(channels.bit_length() // 2 | 1, 3)


Merge = Literal["sum", "concat", "cascade"]
"""How the bodies of a unit are one tensor; all of them read first(x), but for a cascade.

cascade: the channels of first(x) are divided into one slice per body. Body k reads slice k plus the output of body
k - 1, the first and the last body their slice alone; the outputs are concatenated. The last body is the identity. In
the first unit of a stage, each body reads its slice alone, and the last is the mean of 3x3 pixels, zeros beyond the
edge included, with the unit's stride.
Source: Res2Net (arXiv:1904.01169), section 3.1, with the slice that no convolution reads last, as in the authors' code.
"""

Attention = Excitation | ChannelAttention
"""How the channels of the body are weighted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """x -> after_sum(shortcut(x) + merged(attention(merge(body(first(x)), …)))), both terms gated if there is a `gate`.

    `shares` lists the positions at which the shortcut reads first(x) instead of x.
    With `opening` "bare" the first unit of the network has no `first` ops.
    """

    convs: tuple[Conv, ...]
    order: Ordering = POST_ACTIVATION
    shortcut: Shortcut = Projection()
    shares: tuple[Position, ...] = ()
    opening: Literal["ordered", "bare"] = "ordered"
    bodies: int = 1
    merge: Merge = "sum"
    gate: Gating | None = None
    attention: Attention | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not 1 <= len(self.convs) <= _MOST_CONVS:
            raise DesignError(f"a unit has 1 to {_MOST_CONVS} convolutions; got {len(self.convs)}")
        strided = sum(conv.strided for conv in self.convs)
        if strided != 1:
            raise DesignError(
                f"exactly one convolution of a unit has its stride; of these {len(self.convs)}, {strided} do"
            )
        fewest = 2 if self.merge == "cascade" else 1
        if not fewest <= self.bodies <= 256:
            kind = "cascade has 2 to 256 slices" if fewest == 2 else "unit has 1 to 256 bodies"
            raise DesignError(f"a {kind}; got {self.bodies}")


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


def cascaded(residual: Residual, slices: int) -> Residual:
    """The bottleneck with its 3x3 as a cascade of slices; attention then comes before the last 1x1.

    Raises: DesignError if it is not a bottleneck of one body with the stride on the 3x3, or if shortcuts read first(x),
        which contains the first 1x1 here.
    """
    if len(residual.convs) != 3 or not residual.convs[1].strided or residual.bodies > 1:
        raise DesignError("slices divide the 3x3 of a bottleneck of one body, which has the unit's stride")
    if residual.shares:
        raise DesignError(
            "the shortcut of a unit with slices reads x, since its first layers contain a convolution; "
            f"got shares = {list(residual.shares)}, take shares = []"
        )
    narrow, middle, wide = residual.convs
    order = replace(
        residual.order,
        first=(*residual.order.first, narrow, *residual.order.between),
        last=residual.order.between,
        merged=(wide, *residual.order.last, *residual.order.merged),
    )
    part = replace(middle, width=middle.width / slices)
    return replace(residual, convs=(part,), order=order, bodies=slices, merge="cascade")


_MODIFICATION = re.compile(
    r"none"
    r"|scale-(?P<shortcut>\d{1,4}(?:\.\d{1,4})?)-(?P<body>\d{1,4}(?:\.\d{1,4})?)"
    r"|(?P<gate>exclusive|shortcut)-gate-b(?P<bias>-?\d{1,2}(?:\.\d{1,4})?)"
    r"|dropout-(?P<rate>0\.\d{1,4})",
    re.ASCII,
)


def modified(residual: Residual, word: str) -> Residual:
    """The unit with its shortcut modified in all positions.

    none; scale-S-B: S·shortcut + B·body; exclusive-gate-bN, shortcut-gate-bN: see `Gating`; dropout-P on the shortcut.
    Raises: DesignError for another word.
    Source: pre-activation paper (arXiv:1603.05027), Table 1.
    """
    match = _MODIFICATION.fullmatch(word)
    if match is None:
        raise DesignError(
            f"a shortcut is modified by scale-0.5-0.5, exclusive-gate-b-6, shortcut-gate-b-6 or dropout-0.5, "
            f"with any numbers, or by none; got {quoted(word)}"
        )
    order = residual.order
    if match["shortcut"]:
        factors = [Fraction(match[part]) for part in ("shortcut", "body")]
        on_shortcut, on_body = ((Scale(factor),) if factor != 1 else () for factor in factors)
        order = replace(order, shortcut=(*order.shortcut, *on_shortcut), merged=(*order.merged, *on_body))
    if match["rate"]:
        order = replace(order, shortcut=(*order.shortcut, Dropout(float(match["rate"]))))
    gate = residual.gate
    if match["gate"]:
        gate = Gating(bias=float(match["bias"]), scales="both" if match["gate"] == "exclusive" else "shortcut")
    return replace(residual, order=order, gate=gate)


def rules_with_eps(rules: tuple[R, ...], eps: float) -> tuple[R | Norm, ...]:
    """The operations with another eps in every normalisation."""
    return tuple(Norm(eps) if isinstance(rule, Norm) else rule for rule in rules)


def with_eps(order: Ordering, eps: float) -> Ordering:
    """The order with another eps in every normalisation."""
    return replace(
        order,
        first=rules_with_eps(order.first, eps),
        between=rules_with_eps(order.between, eps),
        last=rules_with_eps(order.last, eps),
        merged=rules_with_eps(order.merged, eps),
        shortcut=rules_with_eps(order.shortcut, eps),
        after_sum=rules_with_eps(order.after_sum, eps),
    )
