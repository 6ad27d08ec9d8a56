"""Random blueprints: small networks of every convolution, order, shortcut, width rule and stream rule.

Every width is a multiple of 8, and no unit is narrower than its input, so that every draw makes a network.
"""

from fractions import Fraction
from typing import Literal

from hypothesis import strategies as st

from resatlas.arch.blueprint import Blueprint, Head, Initial, Stem
from resatlas.arch.ops import Conv, Dropout, MaxPool, Norm, Relu, Scale, Shape
from resatlas.arch.residual import (
    Absent,
    ChannelAttention,
    Excitation,
    Gating,
    Omit,
    Ordering,
    Position,
    Projection,
    Residual,
    Rule,
    Shortcut,
    ZeroPad,
    basic,
    bottleneck,
    cascaded,
)
from resatlas.arch.streams import MergeAndRun, Single, Streams
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage, Rounding, Widths

RULES: tuple[Rule, ...] = (Norm(), Norm(2e-5), Relu(), Dropout(0.25), Scale(Fraction(1, 2)))
POSITIONS: tuple[Position, ...] = ("network-start", "stage-start", "projected")
MERGES: tuple[Literal["sum", "concat"], ...] = ("sum", "concat")
ROUNDINGS: tuple[Rounding, ...] = ("half-up", "floor")


def rules() -> st.SearchStrategy[tuple[Rule, ...]]:
    """Up to three operations that keep the shape."""
    return st.lists(st.sampled_from(RULES), max_size=3).map(tuple)


def images() -> st.SearchStrategy[Shape]:
    """Images that three stages, a strided stem and a pool leave something of."""
    return st.builds(Shape, st.integers(1, 4), st.integers(32, 40), st.integers(32, 40))


def shortcuts() -> st.SearchStrategy[Shortcut]:
    """Every shortcut."""
    return st.one_of(
        st.builds(ZeroPad, subsample=st.sampled_from(("stride", "average")), place=st.sampled_from(("end", "sides"))),
        st.builds(
            Projection,
            after=rules(),
            where=st.sampled_from(("resized", "strided", "everywhere")),
            subsample=st.sampled_from(("stride", "average", "shifted")),
        ),
        st.just(Omit()),
        st.just(Absent()),
    )


def streams() -> st.SearchStrategy[Streams]:
    """One stream, or up to three that merge and run."""
    return st.just(Single()) | st.builds(
        MergeAndRun,
        count=st.integers(1, 3),
        join=st.sampled_from(("merge", "sum", "concat", "logits")),
        skip=st.sampled_from(("mean", "identity", "swap", "projector")),
        stems=st.sampled_from(("shared", "separate")),
    )


def gates() -> st.SearchStrategy[Gating | None]:
    """No gate, or one of the two kinds."""
    return st.none() | st.builds(
        Gating, bias=st.sampled_from((0.0, -6.0)), scales=st.sampled_from(("both", "shortcut"))
    )


def convolutions() -> st.SearchStrategy[tuple[Conv, ...]]:
    """Basic and bottleneck bodies, grouped or not."""
    kernels = st.lists(st.sampled_from((1, 3, 5)), min_size=1, max_size=3)
    shares = st.sampled_from((Fraction(1, 4), Fraction(1, 2), Fraction(1)))
    return kernels.map(basic) | st.builds(
        bottleneck, shares, groups=st.sampled_from((1, 2)), strided=st.sampled_from(("first", "3x3"))
    )


@st.composite
def sliced_residuals(draw: st.DrawFn) -> Residual:
    """One bottleneck whose 3x3 is a cascade of slices."""
    residual = Residual(
        convs=bottleneck(draw(st.sampled_from((Fraction(1, 2), Fraction(1))))),
        order=Ordering(
            first=draw(rules()),
            between=draw(rules()),
            last=draw(rules()),
            merged=draw(rules()),
            shortcut=draw(rules()),
            after_sum=draw(rules()),
        ),
        shortcut=draw(shortcuts()),
        gate=draw(gates()),
        attention=draw(st.sampled_from((None, Excitation(ratio=Fraction(1, 4))))),
    )
    return cascaded(residual, draw(st.sampled_from((2, 4))))


@st.composite
def usual_residuals(draw: st.DrawFn) -> Residual:
    """One unit; where its bodies stand side by side, a 1x1 convolution makes them one again."""
    merge = draw(st.sampled_from(MERGES))
    fused = (Conv(1),) if merge == "concat" or draw(st.booleans()) else ()
    return Residual(
        convs=draw(convolutions()),
        order=Ordering(
            first=draw(rules()),
            between=draw(rules()),
            last=draw(rules()),
            merged=(*fused, *draw(rules())),
            shortcut=draw(rules()),
            after_sum=draw(rules()),
        ),
        shortcut=draw(shortcuts()),
        shares=tuple(draw(st.sets(st.sampled_from(POSITIONS)))),
        opening=draw(st.sampled_from(("ordered", "bare"))),
        bodies=draw(st.integers(1, 3)),
        merge=merge,
        gate=draw(gates()),
        attention=draw(
            st.sampled_from(
                (
                    None,
                    ChannelAttention(),
                    Excitation(ratio=Fraction(1, 4)),
                    Excitation(ratio=Fraction(1, 2), of="input"),
                )
            )
        ),
    )


def residuals() -> st.SearchStrategy[Residual]:
    """One unit; one in five has slices."""
    return st.integers(0, 4).flatmap(lambda kind: usual_residuals() if kind else sliced_residuals())


@st.composite
def widths(draw: st.DrawFn, *, start: int, stages: int) -> Widths:
    """A rule that begins at `start` or wider and never narrows."""
    if draw(st.booleans()):
        steps = draw(st.lists(st.integers(start // 8, start // 8 + 6), min_size=stages, max_size=stages))
        return PerStage(tuple(8 * step for step in sorted(steps)))
    expansion = draw(st.sampled_from((1, 4)))
    rounding = draw(st.sampled_from(ROUNDINGS))
    if draw(st.booleans()):
        alpha = draw(st.fractions(0, 60, max_denominator=7))
        return AdditivePyramid(start=start, alpha=alpha, expansion=expansion, multiple_of=8, rounding=rounding)
    factor = draw(st.fractions(1, 5, max_denominator=7))
    return MultiplicativePyramid(start=start, alpha=factor, expansion=expansion, multiple_of=8, rounding=rounding)


@st.composite
def blueprints(draw: st.DrawFn, *, most_units: int = 3) -> Blueprint:
    """A network of one to three stages with at most `most_units` units each."""
    start = 8 * draw(st.integers(1, 4))
    units = tuple(draw(st.lists(st.integers(1, most_units), min_size=1, max_size=3)))
    return Blueprint(
        stem=Stem(
            kernel=draw(st.sampled_from((1, 3, 7))),
            width=start,
            lead=draw(st.sampled_from(((), (8,), (4, 8)))),
            stride=draw(st.integers(1, 2)),
            after=draw(rules()),
            pool=draw(st.sampled_from((None, MaxPool()))),
        ),
        units=units,
        widths=draw(widths(start=start, stages=len(units))),
        residual=draw(residuals()),
        streams=draw(streams()),
        head=Head(before=draw(rules()), dropout=draw(st.sampled_from((None, Dropout(0.5))))),
        first_stride=draw(st.integers(1, 2)),
        initial=Initial(fan=draw(st.sampled_from(("in", "out"))), scale=draw(st.sampled_from(("one", "uniform")))),
    )
