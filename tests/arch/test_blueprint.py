"""Blueprints check themselves: what no network has is refused where it is written."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from resatlas.arch.blueprint import MOST_UNITS, Blueprint, Stem
from resatlas.arch.ops import Conv, Dropout, Norm, Relu
from resatlas.arch.residual import PYRAMIDAL, Ordering, Residual, basic, bottleneck, with_eps
from resatlas.arch.streams import MergeAndRun
from resatlas.arch.widths import PerStage
from resatlas.errors import DepthError, DesignError, WidthError


def of_units(*units: int) -> Blueprint:
    """A network of these stages."""
    return Blueprint(
        stem=Stem(width=8), units=units, widths=PerStage((8,) * len(units)), residual=Residual(convs=basic())
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: of_units(), DesignError, "a network has 1 to 8 stages; got 0"),
        (lambda: of_units(*[1] * 9), DesignError, "a network has 1 to 8 stages; got 9"),
        (lambda: of_units(2, 0), DepthError, "every stage has at least 1 unit; got [2, 0]"),
        (lambda: of_units(-1), DepthError, "every stage has at least 1 unit; got [-1]"),
        (
            lambda: of_units(MOST_UNITS, 1),
            DepthError,
            f"a network has at most {MOST_UNITS:,} units; got {MOST_UNITS + 1:,}",
        ),
        (lambda: Stem(width=0), WidthError, "a unit is 1 to 65,536 channels wide; got 0"),
        (lambda: Stem(width=8, stride=0), DesignError, "a stem's stride must be between 1 and 8; got 0"),
        (
            lambda: Stem(width=8, kernel=4),
            DesignError,
            "a kernel is odd and at most 15, so that padding centres it; got 4",
        ),
        (lambda: Conv(-1), DesignError, "a kernel is odd and at most 15, so that padding centres it; got -1"),
        (lambda: Conv(17), DesignError, "a kernel is odd and at most 15, so that padding centres it; got 17"),
        (
            lambda: Conv(3, Fraction(0)),
            DesignError,
            "a convolution's width is a positive share of the unit's output; got 0",
        ),
        (lambda: Conv(3, groups=0), DesignError, "a convolution has at least 1 group; got 0"),
        (lambda: Dropout(1.0), DesignError, "a dropout rate must be in [0, 1); got 1.0"),
        (lambda: Dropout(-0.1), DesignError, "a dropout rate must be in [0, 1); got -0.1"),
        (lambda: Dropout(float("nan")), DesignError, "a dropout rate must be in [0, 1); got nan"),
        (
            lambda: Residual(convs=(Conv(3), Conv(3))),
            DesignError,
            "exactly one convolution of a unit has its stride; of these 2, 0 do",
        ),
        (
            lambda: Residual(convs=(*basic(), *basic())),
            DesignError,
            "exactly one convolution of a unit has its stride; of these 4, 2 do",
        ),
        (lambda: Residual(convs=basic(), bodies=0), DesignError, "a unit has 1 to 256 bodies; got 0"),
        (lambda: MergeAndRun(count=0), DesignError, "merge-and-run has 1 to 64 streams; got 0"),
        (lambda: MergeAndRun(count=65), DesignError, "merge-and-run has 1 to 64 streams; got 65"),
    ],
)
def test_what_no_network_has_is_refused(make: Callable[[], object], error: type[DesignError], words: str) -> None:
    """Each part says what it allows and what was given."""
    with pytest.raises(error) as refusal:
        make()
    assert str(refusal.value) == words


def test_bodies_of_the_papers() -> None:
    """A basic body strides first; a bottleneck on its first 1x1 or on the 3x3."""
    assert [(conv.kernel, conv.strided) for conv in basic((1, 3, 1))] == [(1, True), (3, False), (1, False)]
    assert [conv.strided for conv in bottleneck(strided="first")] == [True, False, False]
    assert [conv.strided for conv in bottleneck(strided="3x3")] == [False, True, False]
    assert [(conv.width, conv.groups) for conv in bottleneck(Fraction(1, 2), groups=32)] == [
        (Fraction(1, 2), 1),
        (Fraction(1, 2), 32),
        (Fraction(1), 1),
    ]


def test_with_eps_reaches_every_norm() -> None:
    """The order is the same, its norms have the new eps wherever they stand."""
    order = Ordering(
        first=PYRAMIDAL.first,
        between=PYRAMIDAL.between,
        last=PYRAMIDAL.last,
        merged=(Conv(1), Norm()),
        after_sum=(Norm(), Relu()),
    )
    norm = Norm(2e-5)
    assert with_eps(order, 2e-5) == Ordering(
        first=(norm,), between=(norm, Relu()), last=(norm,), merged=(Conv(1), norm), after_sum=(norm, Relu())
    )
