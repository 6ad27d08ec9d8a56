"""A blueprint: independent parts that together describe a network without a single computed number."""

from dataclasses import dataclass
from typing import Literal

from resatlas.arch.ops import Dropout, MaxPool, Norm, Relu, check_kernel
from resatlas.arch.residual import Residual, Rule
from resatlas.arch.streams import Single, Streams
from resatlas.arch.widths import Widths, check_width
from resatlas.errors import DepthError, DesignError

MOST_UNITS = 2_000
_MOST_STAGES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """The layers before the first stage: convolution, `after`, and optionally a pool."""

    kernel: int = 3
    width: int
    stride: int = 1
    after: tuple[Rule, ...] = (Norm(), Relu())
    pool: MaxPool | None = None

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_width(self.width)
        if not 1 <= self.stride <= 8:
            raise DesignError(f"a stem's stride must be between 1 and 8; got {self.stride}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The layers after the last stage: `before`, the global pool, optionally dropout, the classifier."""

    before: tuple[Rule, ...] = ()
    dropout: Dropout | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Initial:
    """The initial weights.

    Convolutions N(0, 2/fan), fan = kernel² · inputs per group, or kernel² · all outputs; the scale of every
    normalisation 1, or U(0, 1); its shift 0; the classifier U(±1/sqrt(inputs)) with bias 0.
    """

    fan: Literal["in", "out"] = "out"
    scale: Literal["one", "uniform"] = "one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A network in our vocabulary; stage 1 keeps the map size, every later stage halves it."""

    stem: Stem
    units: tuple[int, ...]
    widths: Widths
    residual: Residual
    streams: Streams = Single()  # noqa: RUF009 - a frozen value
    head: Head = Head()
    initial: Initial = Initial()

    def __post_init__(self) -> None:
        if not 1 <= len(self.units) <= _MOST_STAGES:
            raise DesignError(f"a network has 1 to {_MOST_STAGES} stages; got {len(self.units)}")
        if min(self.units) < 1:
            raise DepthError(f"every stage has at least 1 unit; got {list(self.units)}")
        if sum(self.units) > MOST_UNITS:
            raise DepthError(f"a network has at most {MOST_UNITS:,} units; got {sum(self.units):,}")
