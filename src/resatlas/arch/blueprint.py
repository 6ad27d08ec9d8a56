"""A blueprint: independent parts that together describe a network without a single computed number."""

from dataclasses import dataclass, field, replace
from typing import Literal

from resatlas.arch.ops import Dropout, MaxPool, Norm, Relu, check_kernel
from resatlas.arch.residual import Projection, Residual, Rule, rules_with_eps, with_eps
from resatlas.arch.streams import Single, Streams
from resatlas.arch.widths import Widths, check_width
from resatlas.errors import DepthError, DesignError
from resatlas.values.codec import LATER

MOST_UNITS = 2_000
_MOST_STAGES = 8
_MOST_LEADING = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """The layers before the first stage: convolutions, each with `after` behind it, and optionally a pool.

    `lead` are the widths of convolutions of the same kernel before the last one; the first of all has the stride.
    """

    kernel: int = 3
    width: int
    lead: tuple[int, ...] = field(default=(), metadata=LATER)
    stride: int = 1
    after: tuple[Rule, ...] = (Norm(), Relu())
    pool: MaxPool | None = None

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        for width in (*self.lead, self.width):
            check_width(width)
        if len(self.lead) > _MOST_LEADING:
            raise DesignError(f"a stem has at most {_MOST_LEADING + 1} convolutions; got {len(self.lead) + 1}")
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
    """A network in our vocabulary; the first stage has `first_stride`, every later stage halves the map."""

    stem: Stem
    units: tuple[int, ...]
    widths: Widths
    residual: Residual
    streams: Streams = Single()  # noqa: RUF009 - a frozen value
    head: Head = Head()
    initial: Initial = Initial()
    first_stride: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        if self.first_stride not in (1, 2):
            raise DesignError(f"the first stage has a stride of 1 or 2; got {self.first_stride}")
        if not 1 <= len(self.units) <= _MOST_STAGES:
            raise DesignError(f"a network has 1 to {_MOST_STAGES} stages; got {len(self.units)}")
        if min(self.units) < 1:
            raise DepthError(f"every stage has at least 1 unit; got {list(self.units)}")
        if sum(self.units) > MOST_UNITS:
            raise DepthError(f"a network has at most {MOST_UNITS:,} units; got {sum(self.units):,}")


def with_norm_eps(blueprint: Blueprint, eps: float) -> Blueprint:
    """The blueprint with another eps in every normalisation."""
    residual = replace(blueprint.residual, order=with_eps(blueprint.residual.order, eps))
    if isinstance(residual.shortcut, Projection):
        residual = replace(
            residual, shortcut=replace(residual.shortcut, after=rules_with_eps(residual.shortcut.after, eps))
        )
    stem = replace(blueprint.stem, after=rules_with_eps(blueprint.stem.after, eps))
    head = replace(blueprint.head, before=rules_with_eps(blueprint.head.before, eps))
    return replace(blueprint, stem=stem, residual=residual, head=head)
