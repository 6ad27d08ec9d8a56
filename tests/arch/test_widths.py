"""Widths are those of the exact line, rounded once."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.widths import (
    AdditivePyramid,
    MultiplicativePyramid,
    PerStage,
    Pyramid,
    Rounding,
    doubling,
    unit_widths,
)
from resatlas.errors import WidthError
from tests.arch.strategies import ROUNDINGS

HALF: dict[Rounding, Decimal] = {"half-up": Decimal("0.5"), "floor": Decimal(0)}


def decimal(number: Fraction) -> Decimal:
    """The number to the digits of the context."""
    return Decimal(number.numerator) / Decimal(number.denominator)


def rounded(line: Decimal, rule: Pyramid) -> int:
    """Floor(line/multiple + 1/2 or 0) · multiple · expansion, at least one multiple; 40 digits decide a tie."""
    steps = (line / rule.multiple_of).quantize(Decimal(10) ** -40) + HALF[rule.rounding]
    return max(int(steps.to_integral_value(ROUND_FLOOR)), 1) * rule.multiple_of * rule.expansion


def line_of(rule: Pyramid, point: Callable[[Decimal], Decimal], units: int) -> list[int]:
    """The widths of `units` units whose exact line at the share k/N is `point`, in 80 digits."""
    with localcontext() as context:
        context.prec = 80
        return [rounded(point(Decimal(k) / Decimal(units)), rule) for k in range(1, units + 1)]


def flat(rule: Pyramid, units: int) -> list[int]:
    """The widths of a network of one stage."""
    return list(unit_widths(rule, (units,))[0])


@given(
    start=st.integers(1, 64),
    alpha=st.fractions(0, 400, max_denominator=50),
    units=st.integers(1, 60),
    expansion=st.sampled_from((1, 4)),
    multiple_of=st.sampled_from((1, 3, 8)),
    rounding=st.sampled_from(ROUNDINGS),
)
@settings(max_examples=60, deadline=None)
def test_additive_widths_are_the_rounded_line(
    start: int, alpha: Fraction, units: int, expansion: int, multiple_of: int, rounding: Rounding
) -> None:
    """Start + alpha·k/N in 80 digits, rounded once, gives every width."""
    rule = AdditivePyramid(start=start, alpha=alpha, expansion=expansion, multiple_of=multiple_of, rounding=rounding)
    assert flat(rule, units) == line_of(rule, lambda share: start + decimal(alpha) * share, units)


@given(
    start=st.integers(1, 64),
    alpha=st.fractions(1, 60, max_denominator=50),
    units=st.integers(1, 60),
    expansion=st.sampled_from((1, 4)),
    multiple_of=st.sampled_from((1, 3, 8)),
    rounding=st.sampled_from(ROUNDINGS),
)
@settings(max_examples=60, deadline=None)
def test_multiplicative_widths_are_the_rounded_curve(
    start: int, alpha: Fraction, units: int, expansion: int, multiple_of: int, rounding: Rounding
) -> None:
    """Start · alpha^(k/N) in 80 digits, rounded once, gives every width, ties included."""
    rule = MultiplicativePyramid(
        start=start, alpha=alpha, expansion=expansion, multiple_of=multiple_of, rounding=rounding
    )
    assert flat(rule, units) == line_of(rule, lambda share: start * (decimal(alpha).ln() * share).exp(), units)


@pytest.mark.parametrize(
    ("rule", "units", "widths"),
    [
        (AdditivePyramid(start=1, alpha=Fraction(3, 2)), 3, [2, 2, 3]),
        (AdditivePyramid(start=1, alpha=Fraction(3, 2), rounding="floor"), 3, [1, 2, 2]),
        (AdditivePyramid(start=16, alpha=Fraction(48), multiple_of=8, expansion=4), 6, [96, 128, 160, 192, 224, 256]),
        (MultiplicativePyramid(start=2, alpha=Fraction(25, 16)), 2, [3, 3]),
        (MultiplicativePyramid(start=2, alpha=Fraction(25, 16), rounding="floor"), 2, [2, 3]),
        (MultiplicativePyramid(start=16, alpha=Fraction(4)), 4, [23, 32, 45, 64]),
        (MultiplicativePyramid(start=16, alpha=Fraction(1)), 3, [16, 16, 16]),
        (MultiplicativePyramid(start=10, alpha=Fraction(2), multiple_of=16, rounding="floor"), 2, [16, 16]),
        (MultiplicativePyramid(start=1, alpha=Fraction(64), rounding="floor"), 3, [4, 16, 64]),
        (MultiplicativePyramid(start=1, alpha=Fraction(125, 8)), 3, [3, 6, 16]),
        (MultiplicativePyramid(start=1, alpha=8 - Fraction(1, 10**20), rounding="floor"), 3, [1, 3, 7]),
    ],
)
def test_ties_and_multiples(rule: Pyramid, units: int, widths: list[int]) -> None:
    """A half goes up, a floor stays below however near, and no width falls under one multiple."""
    assert flat(rule, units) == widths


@given(units=st.lists(st.integers(1, 9), min_size=1, max_size=4), alpha=st.fractions(0, 99))
@settings(max_examples=30, deadline=None)
def test_stages_cut_the_line_and_nothing_else(units: list[int], alpha: Fraction) -> None:
    """The stages side by side are the network of one stage."""
    rule = AdditivePyramid(start=16, alpha=alpha)
    stages = unit_widths(rule, tuple(units))
    assert [len(stage) for stage in stages] == units
    assert [width for stage in stages for width in stage] == flat(rule, sum(units))


def test_doubling() -> None:
    """16, 32, 64, and one width for all units of a stage."""
    assert doubling(16, 3) == PerStage((16, 32, 64))
    assert unit_widths(doubling(16, 3), (1, 2, 3)) == ((16,), (32, 32), (64, 64, 64))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PerStage((0,)), "a unit is 1 to 65,536 channels wide; got 0"),
        (lambda: PerStage((65_537,)), "a unit is 1 to 65,536 channels wide; got 65,537"),
        (lambda: doubling(65_536, 2), "a unit is 1 to 65,536 channels wide; got 131,072"),
        (
            lambda: AdditivePyramid(start=0, alpha=Fraction(1)),
            "a pyramid's start must be between 1 and 65,536; got 0",
        ),
        (
            lambda: AdditivePyramid(start=1, alpha=Fraction(1), multiple_of=-8),
            "a pyramid's multiple_of must be between 1 and 65,536; got -8",
        ),
        (
            lambda: AdditivePyramid(start=1, alpha=Fraction(-1)),
            "an additive pyramid widens by alpha >= 0 channels; got -1",
        ),
        (
            lambda: MultiplicativePyramid(start=1, alpha=Fraction(1, 2)),
            "a multiplicative pyramid widens by a factor alpha of 1 to 4096; got 1/2",
        ),
        (
            lambda: MultiplicativePyramid(start=1, alpha=Fraction(5000)),
            "a multiplicative pyramid widens by a factor alpha of 1 to 4096; got 5000",
        ),
        (
            lambda: flat(AdditivePyramid(start=1, alpha=Fraction(10**9)), 4),
            "a unit is 1 to 65,536 channels wide; got 250,000,001",
        ),
        (
            lambda: flat(MultiplicativePyramid(start=1024, alpha=Fraction(4096)), 1),
            "a unit is 1 to 65,536 channels wide; got 4,194,304",
        ),
    ],
)
def test_widths_have_bounds(make: Callable[[], object], words: str) -> None:
    """Rules that start at nothing, narrow, or leave the allowed widths are refused."""
    with pytest.raises(WidthError) as refusal:
        make()
    assert str(refusal.value) == words
