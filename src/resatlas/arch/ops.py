"""The closed union of operations with their facts: role, word in a printed plan, output shape, weights.

Two of them are convolutions: blueprints contain `Conv`, whose width is a share of a width that is not known yet; plans
contain `Convolution`, which has its stride. All other operations are the same in both. Counting, printing, expanding
and drawing use these facts; torch modules and ejected text have their own functions.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Literal, NamedTuple, assert_never

from resatlas.errors import DesignError, ImageError
from resatlas.values.codec import LATER

Role = Literal["conv", "norm", "relu", "sigmoid", "scale", "dropout", "pool", "subsample", "pad", "linear"]
"""The name of an operation in paths, and so in the names of weights."""


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

    A `strided` one takes the unit's stride; padding is kernel // 2 on every side. It has `groups` groups, or groups of
    `group_width` channels; one that is narrower than that has one group.
    """

    kernel: int
    width: Fraction = Fraction(1)
    strided: bool = False
    groups: int = 1
    group_width: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        if not 0 < self.width <= 1024:
            raise DesignError(f"a convolution's width is a positive share of the unit's output; got {self.width}")
        if self.groups < 1:
            raise DesignError(f"a convolution has at least 1 group; got {self.groups}")
        if self.group_width is not None and (self.groups > 1 or self.group_width < 1):
            raise DesignError(
                f"a group has at least 1 channel, and not a number of groups too; got {self.group_width} "
                f"channels and {self.groups} groups"
            )


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of a plan, zero-padded by `padding` on every side; `bias` is the initial value of its bias.

    Its taps are `dilation` pixels apart.
    """

    role: ClassVar[Role] = "conv"
    kernel: int
    stride: int = 1
    groups: int = 1
    bias: float | None = None
    dilation: int = 1

    @property
    def padding(self) -> int:
        """Zeros on every side, dilation · (kernel // 2): they centre the kernel."""
        return self.dilation * (self.kernel // 2)


@dataclass(frozen=True, slots=True)
class ChannelConvolution:
    """A convolution along the channels of one pixel, the same `kernel` weights at each, zeros beyond the ends."""

    role: ClassVar[Role] = "conv"
    kernel: int


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation with a learnt scale and shift for each channel."""

    role: ClassVar[Role] = "norm"
    eps: float = 1e-5


@dataclass(frozen=True, slots=True)
class Relu:
    """max(x, 0)."""

    role: ClassVar[Role] = "relu"


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """1 / (1 + exp(-x))."""

    role: ClassVar[Role] = "sigmoid"


@dataclass(frozen=True, slots=True)
class Scale:
    """factor · x."""

    role: ClassVar[Role] = "scale"
    factor: Fraction

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1024:
            raise DesignError(
                f"a constant factor must be in (0, 1024]; got {self.factor} (for 0, use an absent shortcut)"
            )


@dataclass(frozen=True, slots=True)
class Dropout:
    """Sets each value to zero with probability `rate` while training, and divides the others by 1 - rate."""

    role: ClassVar[Role] = "dropout"
    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise DesignError(f"a dropout rate must be in [0, 1); got {self.rate}")


@dataclass(frozen=True, slots=True)
class MaxPool:
    """The largest value of each window, padded by kernel // 2 on every side."""

    role: ClassVar[Role] = "pool"
    kernel: int = 3
    stride: int = 2


@dataclass(frozen=True, slots=True)
class AvgPool:
    """The mean of each stride x stride window; a window beyond the edge averages the pixels inside.

    With a `kernel` the windows are kernel x kernel, and the zeros that centre them are averaged, too.
    """

    role: ClassVar[Role] = "pool"
    stride: int
    kernel: int | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class SlidingMean:
    """The mean of the pixels x[i + a·dilation, j + b·dilation] for 0 ≤ a, b < size, of those inside the map.

    It has the values of AvgPool(size) at every pixel: what a dilated network has in its place.
    """

    role: ClassVar[Role] = "pool"
    size: int
    dilation: int = 1


@dataclass(frozen=True, slots=True)
class Subsample:
    """x[:, :, ::stride, ::stride].

    With a `shift`, the same channels follow once more, of x moved by so many pixels down and to the right, so that they
    are those of pixels further up and to the left; zeros beyond the edge.
    """

    role: ClassVar[Role] = "subsample"
    stride: int
    shift: int | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class ZeroChannels:
    """The channels of x and zero channels up to the output width, at the end or half on each side."""

    role: ClassVar[Role] = "pad"
    place: Literal["end", "sides"] = "end"


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The mean over all positions."""

    role: ClassVar[Role] = "pool"


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected layer with bias."""

    role: ClassVar[Role] = "linear"


Op = (
    Convolution
    | ChannelConvolution
    | Norm
    | Relu
    | Sigmoid
    | Scale
    | Dropout
    | MaxPool
    | AvgPool
    | SlidingMean
    | Subsample
    | ZeroChannels
    | GlobalPool
    | Linear
)

Product = Convolution | Linear
"""The operations that multiply by a matrix; multiply-adds, activations and path lengths count only these."""


def words(op: Op, channels: int) -> str:
    """The operation in a printed plan; `channels` is its number of outputs."""
    match op:
        case Convolution(kernel=kernel, stride=stride, groups=groups, bias=bias, dilation=dilation):
            step = (f"/{stride}" if stride > 1 else "") + (f"d{dilation}" if dilation > 1 else "")
            parted = f"g{groups}" if groups > 1 else ""
            biased = "" if bias is None else f"+bias({bias:g})"
            return f"conv{kernel}{step}{parted}:{channels}{biased}"
        case ChannelConvolution(kernel=kernel):
            return f"channelconv{kernel}"
        case Norm(eps=eps) if eps != Norm().eps:
            return f"norm({eps:g})"
        case Norm() | Relu() | Sigmoid():
            return op.role
        case Scale(factor=factor):
            return f"scale({float(factor):g})"
        case Dropout(rate=rate):
            return f"dropout({rate:g})"
        case MaxPool(kernel=kernel, stride=stride):
            return f"maxpool{kernel}/{stride}"
        case AvgPool(stride=stride, kernel=kernel):
            return f"avgpool{kernel or stride}/{stride}"
        case SlidingMean(size=size, dilation=dilation):
            return f"avgpool{size}" + (f"d{dilation}" if dilation > 1 else "")
        case Subsample(stride=stride, shift=shift):
            return f"subsample/{stride}" + ("" if shift is None else f"+shifted({shift}):{channels}")
        case ZeroChannels(place=place):
            return f"zeros:{channels}{' on both sides' if place == 'sides' else ''}"
        case GlobalPool():
            return "global pool"
        case Linear():
            return f"linear:{channels}"
        case _:
            assert_never(op)


def resized(op: Op, shape: Shape) -> Shape:
    """The shape after the operation, except for its channels.

    Raises: ImageError if a side is shorter than the stride.
    """
    return Shape(shape.channels, 1, 1) if isinstance(op, GlobalPool) else strided(shape, stride_of(op))


def stride_of(op: Op) -> int:
    """The pixels from one output position to the next; 1 also for operations without positions."""
    match op:
        case Convolution(stride=stride) | MaxPool(stride=stride) | AvgPool(stride) | Subsample(stride):
            return stride
        case (
            GlobalPool()
            | ChannelConvolution()
            | Norm()
            | Relu()
            | Sigmoid()
            | Scale()
            | Dropout()
            | SlidingMean()
            | ZeroChannels()
            | Linear()
        ):
            return 1
        case _:
            assert_never(op)


def weights(op: Op, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """The shapes of an operation's parameters by name, for these numbers of channels; {} if it has none."""
    match op:
        case Convolution(kernel=kernel, groups=groups, bias=bias):
            weight = (outputs, inputs // groups, kernel, kernel)
            return {"weight": weight} if bias is None else {"weight": weight, "bias": (outputs,)}
        case ChannelConvolution(kernel=kernel):
            return {"weight": (1, 1, kernel)}
        case Norm():
            return {"weight": (outputs,), "bias": (outputs,)}
        case Linear():
            return {"weight": (outputs, inputs), "bias": (outputs,)}
        case (
            Relu()
            | Sigmoid()
            | Scale()
            | Dropout()
            | MaxPool()
            | AvgPool()
            | SlidingMean()
            | Subsample()
            | ZeroChannels()
            | GlobalPool()
        ):
            return {}
        case _:
            assert_never(op)


def check_kernel(kernel: int) -> None:
    """Check that "same" padding centres a kernel.

    Raises: DesignError if the kernel is not odd and in 1…15.
    """
    if kernel not in range(1, 16, 2):
        raise DesignError(f"a kernel is odd and at most 15, so that padding centres it; got {kernel}")


def strided(shape: Shape, stride: int) -> Shape:
    """The shape after a step of `stride` pixels: ceil(h/stride), ceil(w/stride).

    Raises: ImageError if a side is already shorter than the stride.
    """
    if stride == 1:
        return shape
    if min(shape.height, shape.width) < stride:
        raise ImageError(
            f"a map of {shape.height}x{shape.width} pixels is too small for a stride of {stride}; give a larger image"
        )
    return Shape(shape.channels, -(-shape.height // stride), -(-shape.width // stride))
