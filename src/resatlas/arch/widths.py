"""The widths of units: the output channels of every unit, stage by stage."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Literal

from resatlas.errors import WidthError

WIDEST = 65_536

Rounding = Literal["half-up", "floor"]


@dataclass(frozen=True, slots=True)
class PerStage:
    """One width for all units of a stage."""

    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        for width in self.widths:
            check_width(width)


def doubling(start: int, stages: int) -> PerStage:
    """start, 2·start, 4·start, …, one per stage."""
    return PerStage(tuple(start << stage for stage in range(stages)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditivePyramid:
    """Width of unit k of N: expansion · round(start + alpha·k/N), k = 1…N.

    Symbols: round(x) = floor(x + 1/2) of the exact line, or floor(x); to a multiple of `multiple_of`.
    `start`, `alpha` and `multiple_of` are about the inner width.
    Source: PyramidNet (arXiv:1610.02915); authors' Torch code, addpyramidnet.lua.
    Differs: the paper floors at each step, which ends elsewhere; the authors' code rounds the line. We follow the code.
    """

    start: int
    alpha: Fraction
    expansion: int = 1
    multiple_of: int = 1
    rounding: Rounding = "half-up"

    def __post_init__(self) -> None:
        _check_pyramid(self.start, self.expansion, self.multiple_of)
        if self.alpha < 0:
            raise WidthError(f"an additive pyramid widens by alpha >= 0 channels; got {self.alpha}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplicativePyramid:
    """Width of unit k of N: expansion · round(start · alpha^(k/N)), k = 1…N.

    Symbols and rounding as in the additive pyramid; the comparison of powers is exact.
    Source: PyramidNet (arXiv:1610.02915); authors' Torch code, mulpyramidnet.lua.
    """

    start: int
    alpha: Fraction
    expansion: int = 1
    multiple_of: int = 1
    rounding: Rounding = "half-up"

    def __post_init__(self) -> None:
        _check_pyramid(self.start, self.expansion, self.multiple_of)
        if not 1 <= self.alpha <= 4096:
            raise WidthError(f"a multiplicative pyramid widens by a factor alpha of 1 to 4096; got {self.alpha}")


Pyramid = AdditivePyramid | MultiplicativePyramid
Widths = PerStage | Pyramid


def unit_widths(rule: Widths, units: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Output channels of every unit, one tuple per stage.

    Raises: WidthError if the rule does not fit the number of stages or leaves the allowed widths.
    """
    match rule:
        case PerStage(widths):
            if len(widths) != len(units):
                raise WidthError(f"{len(units)} stages need {len(units)} widths; got {len(widths)}")
            return tuple((width,) * count for width, count in zip(widths, units, strict=True))
        case AdditivePyramid() | MultiplicativePyramid():
            total = sum(units)
            line = [pyramid_width(rule, k, total) for k in range(1, total + 1)]
            ends = list(accumulate(units))
            return tuple(tuple(line[end - count : end]) for count, end in zip(units, ends, strict=True))


def pyramid_width(rule: Pyramid, k: int, units: int) -> int:
    """Output channels of unit k of `units` in a pyramid."""
    half = Fraction(1, 2) if rule.rounding == "half-up" else Fraction(0)
    match rule:
        case AdditivePyramid():  # integers take a third of the time of fractions
            over, under = rule.alpha.numerator * k, rule.alpha.denominator * units
            steps = under * rule.multiple_of
            whole = (2 * (rule.start * under + over) + (steps if rule.rounding == "half-up" else 0)) // (2 * steps)
        case MultiplicativePyramid():
            whole = int(rule.start * float(rule.alpha) ** (k / units) / rule.multiple_of + float(half))
            whole += _reaches(rule, k, units, whole + 1 - half)
            whole -= not _reaches(rule, k, units, whole - half)
    return check_width(max(whole, 1) * rule.multiple_of * rule.expansion)


def check_width(width: int) -> int:
    """The width unchanged.

    Raises: WidthError outside 1…65,536.
    """
    if not 1 <= width <= WIDEST:
        raise WidthError(f"a unit is 1 to {WIDEST:,} channels wide; got {width:,}")
    return width


def _check_pyramid(start: int, expansion: int, multiple_of: int) -> None:
    """Check the numbers of a pyramid.

    Raises: WidthError if any of the three is below 1.
    """
    for name, value in (("start", start), ("expansion", expansion), ("multiple_of", multiple_of)):
        if not 1 <= value <= WIDEST:
            raise WidthError(f"a pyramid's {name} must be between 1 and {WIDEST:,}; got {value:,}")


def _reaches(rule: MultiplicativePyramid, k: int, units: int, steps: Fraction) -> bool:
    """Start · alpha^(k/units) >= steps · multiple_of, decided without rounding: both sides to the power `units`."""
    if steps <= 0:
        return True
    return rule.alpha**k >= (steps * rule.multiple_of / rule.start) ** units
