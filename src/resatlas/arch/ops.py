"""The closed union of operations, and the shape that each makes of a shape.

Two of them are convolutions: `Conv` speaks of shares of a width that is not known yet and stands in
blueprints; `Convolution` has its stride and stands in plans. Every other operation is the same in both.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from resatlas.errors import DesignError, ImageError


class Shape(NamedTuple):
    """Channels, height and width of one image or feature map."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True, slots=True)
class Conv:
    """A bias-free convolution of a blueprint: `width` is its share of the unit's output channels.

    A `strided` one takes the unit's stride; padding is kernel // 2 on every side.
    """

    kernel: int
    width: Fraction = Fraction(1)
    strided: bool = False
    groups: int = 1

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        if not 0 < self.width <= 1024:
            raise DesignError(f"a convolution's width is a positive share of the unit's output; {self.width} is not")
        if self.groups < 1:
            raise DesignError(f"a convolution has at least 1 group; {self.groups} is less")


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of a plan, zero-padded by kernel // 2 on every side; `bias` is where its bias starts, if any."""

    kernel: int
    stride: int = 1
    groups: int = 1
    bias: float | None = None


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation with a learnt scale and shift for each channel."""

    eps: float = 1e-5


@dataclass(frozen=True, slots=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True, slots=True)
class Scale:
    """factor · x."""

    factor: Fraction

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1024:
            raise DesignError(f"a constant factor lies in (0, 1024]; {self.factor} does not (0 is an absent shortcut)")


@dataclass(frozen=True, slots=True)
class Dropout:
    """Sets each value to zero with probability `rate` while training, and divides the others by 1 - rate."""

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise DesignError(f"a dropout rate lies in [0, 1); {self.rate} does not")


@dataclass(frozen=True, slots=True)
class MaxPool:
    """The largest value of each window, padded by kernel // 2 on every side."""

    kernel: int = 3
    stride: int = 2


@dataclass(frozen=True, slots=True)
class AvgPool:
    """The mean of each stride x stride window; a window that overhangs the edge averages what it holds."""

    stride: int


@dataclass(frozen=True, slots=True)
class Subsample:
    """x[:, :, ::stride, ::stride]."""

    stride: int


@dataclass(frozen=True, slots=True)
class ZeroChannels:
    """The channels of x, with channels of zeros up to the output width behind them or half on each side."""

    place: Literal["end", "sides"] = "end"


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The mean over all positions."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected layer with bias."""


Op = (
    Convolution
    | Norm
    | Relu
    | Sigmoid
    | Scale
    | Dropout
    | MaxPool
    | AvgPool
    | Subsample
    | ZeroChannels
    | GlobalPool
    | Linear
)


def check_kernel(kernel: int) -> None:
    """Refuse kernels that "same" padding does not centre.

    Raises: DesignError if the kernel is not odd and in 1…15.
    """
    if kernel not in range(1, 16, 2):
        raise DesignError(f"a kernel is odd and at most 15, so that padding centres it; {kernel} is not")


def strided(shape: Shape, stride: int) -> Shape:
    """The shape after a step of `stride` pixels: ceil(h/stride), ceil(w/stride).

    Raises: ImageError if a side is already shorter than the stride.
    """
    if stride == 1:
        return shape
    if min(shape.height, shape.width) < stride:
        raise ImageError(
            f"a map of {shape.height}x{shape.width} pixels cannot take a stride of {stride}; give a larger image"
        )
    return Shape(shape.channels, -(-shape.height // stride), -(-shape.width // stride))
