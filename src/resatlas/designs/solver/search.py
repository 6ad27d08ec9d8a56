"""Which members of a family cost what is asked for: all of them within bounds that are told, nearest first."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from math import inf, prod, sqrt
from typing import Any

from resatlas.arch.cost import Cost
from resatlas.arch.ops import Shape
from resatlas.designs.catalog import families, knobs_in, resolve
from resatlas.designs.solver.space import Knobs, Line, Row, Size, Space, base_size, rebased, rows, sizes_of, space_of
from resatlas.designs.solver.spelling import head_knobs, names
from resatlas.designs.tasks import Design
from resatlas.errors import DesignError, UnknownName, UsageError, unknown

Reach = Fraction | float
"""A deviation, or infinity."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a network may cost, within a tolerance; a quantity that is None may be anything."""

    parameters: int | None = None
    multiply_adds: int | None = None
    tolerance: Fraction = Fraction(1, 20)

    def __post_init__(self) -> None:
        asked = [each for each in (self.parameters, self.multiply_adds) if each is not None]
        if not asked:
            raise UsageError("a budget has parameters, multiply-adds or both, as in --parameters 1.7M")
        if min(asked) < 1:
            raise UsageError(f"a budget is at least 1; {min(asked)} is less")
        if not 0 <= self.tolerance <= Fraction(1, 2):
            raise UsageError(f"a tolerance lies between 0% and 50%; {100 * float(self.tolerance):g}% does not")

    def over(self, cost: Cost) -> Fraction:
        """The share by which a cost is over; of two quantities, the one that is more over."""
        return max(self._ratios(cost)) - 1

    def under(self, cost: Cost) -> Fraction:
        """The share by which a cost is under; of two quantities, the one that is more under."""
        return 1 - min(self._ratios(cost))

    def deviation(self, cost: Cost) -> Fraction:
        """The larger of the relative deviations."""
        return max(self.over(cost), self.under(cost))

    def _ratios(self, cost: Cost) -> list[Fraction]:
        pairs = ((cost.parameters, self.parameters), (cost.multiply_adds, self.multiply_adds))
        return [Fraction(count, asked) for count, asked in pairs if asked is not None]


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A member of a family, its cost, and how far that is from the budget."""

    design: Design
    cost: Cost
    deviation: Fraction


@dataclass(frozen=True, kw_only=True)
class Solutions:
    """All members within tolerance, nearest first; the nearest of all; and what was searched.

    `base` is another than the paper's, where only another has members within tolerance.
    """

    within: tuple[Solution, ...]
    nearest: Solution
    bounds: tuple[Size, ...]
    base: int | None = None

    @property
    def combinations(self) -> int:
        """How many combinations lie within the bounds."""
        return prod(len(size.values) for size in self.bounds)


def solve(
    family: str, budget: Budget, *, knobs: Knobs, image: Shape | None = None, classes: int | None = None
) -> Solutions:
    """The members of a family with these knobs that cost what is asked for.

    At the paper's base, if any is within tolerance there; else at the nearest base that has some. A base among the
    knobs is kept. Where a depth is given without a setting, it means what a bare name with that depth means.
    Raises: UnknownName for another family; DesignError if no network has these knobs.
    """
    given = {knob: value for knob, value in knobs.items() if (knob, value) != ("base", None)}
    space = space_of(family, {**_usual_setting(family, given), **given}, image=image, classes=classes)
    found = _nearest_first(space, budget, ())
    if "base" in space.knobs or found[0].deviation <= budget.tolerance:
        return _solutions(found, budget, space.bounds)
    paper = families()[family].bases[space.example.setting]
    bases = base_size(paper)
    for base in sorted(set(map(int, bases.values)) - {paper}, key=lambda each: (abs(each - paper), each)):
        try:
            found = _nearest_first(rebased(space, base), budget, found[:1])
        except DesignError:
            continue
        if found[0].deviation <= budget.tolerance:
            return _solutions(found, budget, (*space.bounds, bases), base)
    return _solutions(found, budget, (*space.bounds, bases))


def _solutions(
    found: Sequence[Solution], budget: Budget, bounds: tuple[Size, ...], base: int | None = None
) -> Solutions:
    within = tuple(each for each in found if each.deviation <= budget.tolerance)
    return Solutions(within=within, nearest=found[0], bounds=bounds, base=base)


def _nearest_first(space: Space, budget: Budget, known: Sequence[Solution]) -> list[Solution]:
    """All members within tolerance, and the nearest if none is, with what is known already; nearest first.

    Left out are members that cannot be within tolerance, nor nearer than one that was found before.
    """
    found = list(known)
    reach: Reach = max(budget.tolerance, found[0].deviation) if found else inf
    place = 0
    for row in rows(space):
        for line in _reaching(row, budget, reach):
            place, members = _around(line, budget, reach, place)
            for knobs, cost in members:
                deviation = budget.deviation(cost)
                if deviation <= reach:
                    design = space.member({**line.knobs, **knobs})
                    found.append(Solution(design=design, cost=cost, deviation=deviation))
                    reach = max(budget.tolerance, min(reach, deviation))
    if not found:  # all are wider than any network may be, or lose channels: one is refused in its own words
        space.cost({knob: getattr(space.example, knob) for knob in ("depth", *(size.knob for size in space.sizes))})
    return sorted(found, key=lambda each: each.deviation)


def _reaching(row: Row, budget: Budget, reach: Reach) -> Iterator[Line]:
    """The lines of a row but those that are too short at their longest, or too long at their shortest."""

    def long_enough(place: int) -> bool:
        line = row[place]()
        longest = None if line is None else line.price(len(line.sizes) - 1)
        return longest is None or budget.under(longest) <= reach

    for place in range(bisect_left(range(len(row) - 1), True, key=long_enough), len(row)):
        line = row[place]()
        shortest = line.price(0) if line and len(row) > 1 else None
        if line is None or (shortest and budget.over(shortest) > reach):
            return
        yield line


def _around(line: Line, budget: Budget, reach: Reach, place: int) -> tuple[int, list[tuple[Knobs, Cost]]]:
    """Where what is over meets what is under, and the members there: all within tolerance, and the next on either side.

    Along a line what is over rises and what is under falls. The search begins at a place, and ends without members
    where it is out of reach, all before it are too far under and all behind it too far over.
    """
    low, high = 0, len(line.sizes)
    last = high - 1
    place = min(place, last)
    while low < high:
        cost = line.price(place)
        over, under = (inf, -inf) if cost is None else (budget.over(cost), budget.under(cost))
        if max(over, under) > reach and (under > reach or place == 0) and (over > reach or place == last):
            return place, []
        low, high = (low, place) if over >= under else (place + 1, high)
        place = (low + high) // 2
    up, down = range(low, len(line.sizes)), range(low - 1, -1, -1)
    return min(low, last), [*_near(line, budget, up), *_near(line, budget, down)]


def _near(line: Line, budget: Budget, places: Iterable[int]) -> Iterator[tuple[Knobs, Cost]]:
    """The members at these places up to the first that is not within tolerance."""
    for place in places:
        cost = line.price(place)
        if cost is None:
            return
        yield line.sizes[place], cost
        if budget.deviation(cost) > budget.tolerance:
            return


def _usual_setting(family: str, knobs: Knobs) -> Knobs:
    """The setting of a bare name with the depth given, as that of resnext-50-32x4d; none where none is needed."""
    defaults = {each.name: each.default for each in fields(_knobs_class(family))}
    if "depth" not in knobs or "setting" in knobs or "setting" not in defaults:
        return {}
    smallest = {size.knob: size.values[0] for size in sizes_of(family)}
    head = {knob: smallest.get(knob, defaults[knob]) for knob in head_knobs(family)}
    for text in names(family, {**head, **knobs}):
        try:
            design = resolve(text).design
        except UsageError:
            continue
        if design is not None:
            return {"setting": design.setting}
    return {}


def knobs_of(family: str, words: Iterable[str]) -> Knobs:
    """The knobs that words such as depth=110 give, each of the type that it has in a DESIGN text.

    Raises: UnknownName for another knob, with the nearest; BlueprintError for a word that is no key=value.
    """
    return knobs_in(words, _knobs_class(family), family)


def _knobs_class(family: str) -> type[Any]:
    if family not in families():
        raise UnknownName(unknown("family", family, families()))
    return families()[family].design


UNIT_WEIGHTS = 69_632
"""Weights of a ResNeXt unit 1x64d behind 256 channels. Source: ResNeXt paper (arXiv:1611.05431), Table 2: about 70k."""


def unit_weights(cardinality: int, width: int) -> int:
    """C·(256·d + 9·d² + 256·d): the weights of a ResNeXt unit of C groups of d channels.

    Source: ResNeXt paper, equation 4.
    """
    return cardinality * (256 * width + 9 * width**2 + 256 * width)


def equal_width(cardinality: int, *, weights: int = UNIT_WEIGHTS) -> int:
    """The whole width d nearest to the root of C·(256·d + 9·d² + 256·d) = weights.

    Source: ResNeXt paper, equation 4; the widths of Table 2.
    """
    return round((sqrt(256**2 + 9 * weights / cardinality) - 256) / 9)
