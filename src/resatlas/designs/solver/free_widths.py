"""The space of a search over the widths of a blueprint: all of them scaled together, everything else kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import chain, pairwise, product
from math import ceil, floor, gcd, lcm
from typing import Literal, assert_never

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.cost import Cost, cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Conv, Shape
from resatlas.arch.residual import Excitation, Residual
from resatlas.arch.widths import WIDEST, AdditivePyramid, MultiplicativePyramid, PerStage, unit_widths
from resatlas.designs.solver.space import Knobs, Line, Row, Size
from resatlas.errors import GroupsError, WidthError

_TIMES = 8
"""The largest scale of a search; the smallest is that of the least possible width."""

Rounding = Literal["nearest", "two below", "below", "above", "two above"]
"""The multiple of its grain that stands for a width in exact proportion."""

Rounded = Literal["to the nearest", "to a neighbour", "to one of four"]

WAYS: Mapping[Rounded, tuple[Rounding, ...]] = {
    "to the nearest": ("nearest",),
    "to a neighbour": ("below", "above"),
    "to one of four": ("two below", "below", "above", "two above"),
}
"""The multiples that may stand for a width, in the order in which they are tried."""

_MOST_ROUNDINGS = 128
"""The most combinations of roundings that are searched: of eight stages the two neighbours, of four all four."""


@dataclass(frozen=True, kw_only=True)
class FreeWidths:
    """The blueprints that differ from one in their widths only, in its proportions.

    The widest stage of a blueprint, or the end of its pyramid, takes every possible width. The other stages, or the
    start, follow in proportion, each rounded to a multiple of its grain in one of these ways; the stem follows the
    first of them. The grain of a stage is the least width that all shares and groups of its units divide; the start of
    a pyramid stays a multiple of `multiple_of` if it is one.
    """

    blueprint: Blueprint
    image: Shape
    classes: int
    rounded: Rounded = "to the nearest"

    @property
    def bounds(self) -> tuple[Size, ...]:
        """The widths of the widest stage or the end of the pyramid, and the ways of rounding the others."""
        wide = isinstance(self.blueprint.widths, PerStage)
        widths = Size(knob="widest stage" if wide else "end of the pyramid", values=self._leads())
        ways = Size(knob="roundings", values=range(1, len(self.roundings) + 1))
        return (widths,) if len(self.roundings) == 1 else (widths, ways)

    @property
    def first(self) -> Knobs:
        """The knobs of the blueprint itself, if its widths are multiples of their grains."""
        return {"lead": max(_proportions(self.blueprint)), "rounding": self.roundings[0]}

    def member(self, knobs: Knobs) -> Blueprint:
        """The blueprint with these widths.

        Raises: WidthError if a width is impossible.
        """
        return _scaled(self.blueprint, lead=knobs["lead"], rounding=knobs["rounding"])

    def cost(self, knobs: Knobs) -> Cost:
        """The cost of the blueprint with these widths.

        Raises: as `expand`.
        """
        return cost(expand(self.member(knobs), image=self.image, classes=self.classes))

    def rows(self) -> Iterator[Row]:
        """A line along the width for every combination of roundings, each design once."""
        known: set[tuple[int, ...]] = set()
        for rounding in self.roundings:
            yield [partial(self._line, rounding, known)]

    @property
    def roundings(self) -> Sequence[tuple[Rounding, ...]]:
        """The combinations of roundings, one for each width; the widest is a multiple already."""
        widths, ways = _proportions(self.blueprint), WAYS[self.rounded]
        widest = widths.index(max(widths))
        exact: tuple[Rounding, ...] = ("nearest",)
        return list(product(*(exact if place == widest else ways for place in range(len(widths)))))

    def _leads(self) -> range:
        """The possible widths of the widest stage, or of the end of the pyramid before its expansion."""
        rule = self.blueprint.widths
        step = _grain(self.blueprint.residual) if isinstance(rule, PerStage) else 1
        most = WIDEST if isinstance(rule, PerStage) else WIDEST // rule.expansion
        return range(step, max(min(floor(_TIMES * max(_proportions(self.blueprint))), most), step) + 1, step)

    def _line(self, rounding: tuple[Rounding, ...], known: set[tuple[int, ...]]) -> Line | None:
        """The designs of one rounding in ascending order of cost, without known ones; None if there are none.

        Of designs with equal widths, the one with the numbers nearest to those of the blueprint.
        """
        own, widest = _widths(self.blueprint), max(_proportions(self.blueprint))
        leads: dict[tuple[int, ...], Fraction | int] = {}
        for lead in sorted({*self._leads(), widest}, key=lambda lead: abs(lead - widest)):
            try:
                widths = _widths(_scaled(self.blueprint, lead=lead, rounding=rounding))
            except WidthError:
                continue
            if widths not in known and self._fits(widths, own):
                leads.setdefault(widths, lead)
        known.update(leads)
        sizes = [{"lead": lead, "rounding": rounding} for lead in sorted(leads.values())]

        @cache
        def price(place: int) -> Cost | None:
            try:
                return self.cost(sizes[place])
            except (WidthError, GroupsError):
                return None

        return Line(knobs={}, sizes=sizes, price=price) if sizes else None

    def _fits(self, widths: tuple[int, ...], own: tuple[int, ...]) -> bool:
        """Whether groups and shares divide the widths of all units, and none narrows where the blueprint does not."""
        grain = _grain(self.blueprint.residual)
        steps = zip(pairwise(widths), pairwise(own), strict=True)
        narrows = any(before > after for (before, after), (wide, narrow) in steps if wide <= narrow)
        return not narrows and not any(width % grain for width in widths[1:])


def roundings_of(blueprint: Blueprint, *, image: Shape, classes: int) -> Iterator[FreeWidths]:
    """The spaces of a blueprint, the one of nearest widths first, then wider ones, up to the most combinations.

    Raises: WidthError if its rule does not fit the number of stages.
    """
    _widths(blueprint)
    fitting = _with_fitting_stem(blueprint, image=image, classes=classes)
    for rounded in WAYS:
        space = FreeWidths(blueprint=fitting, image=image, classes=classes, rounded=rounded)
        if len(space.roundings) <= _MOST_ROUNDINGS:
            yield space


def _with_fitting_stem(blueprint: Blueprint, *, image: Shape, classes: int) -> Blueprint:
    """The blueprint; its stem is as wide as its first stage or start where a wider one is impossible.

    Halving and rounding the numbers of a pyramid can give such a blueprint.
    """
    rule, grain = blueprint.widths, _grain(blueprint.residual)
    first = rule.widths[0] if isinstance(rule, PerStage) else rule.start * rule.expansion
    if blueprint.stem.width <= first:
        return blueprint
    narrowing = replace(blueprint, stem=replace(blueprint.stem, width=2 * grain), units=(1,), widths=PerStage((grain,)))
    try:
        expand(narrowing, image=image, classes=classes)
    except WidthError:
        return replace(blueprint, stem=replace(blueprint.stem, width=first))
    return blueprint


def _widths(blueprint: Blueprint) -> tuple[int, ...]:
    """The widths of the stem and of all units.

    Raises: WidthError if a width is impossible.
    """
    return blueprint.stem.width, *chain.from_iterable(unit_widths(blueprint.widths, blueprint.units))


def _proportions(blueprint: Blueprint) -> tuple[Fraction, ...]:
    """The widths that are scaled: those of the stages, or the start and the end of a pyramid."""
    match blueprint.widths:
        case PerStage(widths):
            return tuple(map(Fraction, widths))
        case AdditivePyramid(start=start, alpha=alpha):
            return Fraction(start), start + alpha
        case MultiplicativePyramid(start=start, alpha=alpha):
            return Fraction(start), start * alpha
        case _:
            assert_never(blueprint.widths)


def _scaled(blueprint: Blueprint, *, lead: Fraction | int, rounding: tuple[Rounding, ...]) -> Blueprint:
    """The blueprint with this width of its widest stage or its end, and the other widths in proportion.

    Raises: WidthError if a width is impossible.
    """
    own, grain = _proportions(blueprint), _grain(blueprint.residual)
    scale = Fraction(lead) / max(own)
    exact = [scale * width for width in own]
    match blueprint.widths:
        case PerStage():
            stages = [_multiple(width, grain, way) for width, way in zip(exact, rounding, strict=True)]
            start, rule = stages[0], PerStage(tuple(stages))
        case AdditivePyramid() | MultiplicativePyramid() as rule:
            start = _multiple(exact[0], 1 if rule.start % rule.multiple_of else rule.multiple_of, rounding[0])
            additive = isinstance(rule, AdditivePyramid)
            rule = replace(rule, start=start, alpha=exact[1] - start if additive else exact[1] / start)
        case _:
            assert_never(blueprint.widths)
    stem = _multiple(blueprint.stem.width * start / own[0], blueprint.residual.convs[0].groups, "nearest")
    return replace(blueprint, stem=replace(blueprint.stem, width=stem), widths=rule)


def _multiple(exact: Fraction, grain: int, way: Rounding) -> int:
    """The multiple of the grain, at least the grain, that stands for a width."""
    match way:
        case "nearest":
            whole = floor(exact / grain + Fraction(1, 2))
        case "below" | "two below":
            whole = floor(exact / grain) - (way == "two below")
        case "above" | "two above":
            whole = ceil(exact / grain) + (way == "two above")
        case _:
            assert_never(way)
    return max(whole, 1) * grain


@cache
def _grain(residual: Residual) -> int:
    """The least width of a unit, whose multiples are the possible ones: shares are whole, and groups divide them."""
    lead, rest = ([op for op in ops if isinstance(op, Conv)] for ops in (residual.order.first, residual.order.merged))
    convs = [*lead, *residual.convs, *rest]
    ends = [Fraction(1), *(conv.width for conv in convs)]
    if residual.merge == "cascade":
        ends[len(lead)] /= residual.bodies
    if residual.merge != "sum":
        ends[len(lead) + len(residual.convs)] *= residual.bodies
    divisors = [conv.group_width or conv.groups for conv in convs]
    outputs = [conv.width for conv in convs]
    pairs = [*zip(ends[:-1], divisors, strict=True), *zip(outputs, divisors, strict=True)]
    if isinstance(residual.attention, Excitation):
        pairs.append((residual.convs[-1].width, residual.attention.ratio.denominator))
    return lcm(*(_least(share, divisor) for share, divisor in pairs))


def _least(share: Fraction, groups: int) -> int:
    """The least width of which the share is a multiple of the groups: q·g/gcd(p, q·g) for the share p/q."""
    return share.denominator * groups // gcd(share.numerator, share.denominator * groups)
