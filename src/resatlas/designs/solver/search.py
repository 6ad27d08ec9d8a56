"""Search for all members of a family within a budget and bounds, the nearest first."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import inf, prod, sqrt
from typing import Generic, TypeVar

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.cost import Cost
from resatlas.arch.ops import Shape
from resatlas.designs.catalog import family_called, knobs_in, resolve
from resatlas.designs.family import Family
from resatlas.designs.solver.free_widths import Rounded, roundings_of
from resatlas.designs.solver.space import Knobs, Line, Row, Searched, Size, base_size, rebased, sizes_of, space_of
from resatlas.designs.solver.spelling import head_knobs, names
from resatlas.designs.tasks import Design
from resatlas.errors import DesignError, UsageError

Found = TypeVar("Found")

Reach = Fraction | float
"""A deviation, or infinity."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The wanted cost with a tolerance; a quantity that is None is not limited."""

    parameters: int | None = None
    multiply_adds: int | None = None
    tolerance: Fraction = Fraction(1, 20)

    def __post_init__(self) -> None:
        wanted = [quantity for quantity in (self.parameters, self.multiply_adds) if quantity is not None]
        if not wanted:
            raise UsageError("a budget needs parameters, multiply-adds or both, as in --parameters 1.7M")
        if min(wanted) < 1:
            raise UsageError(f"a budget must be at least 1; got {min(wanted)}")
        if not 0 <= self.tolerance <= Fraction(1, 2):
            raise UsageError(f"a tolerance must be between 0% and 50%; got {100 * float(self.tolerance):g}%")

    def over(self, cost: Cost) -> Fraction:
        """The relative excess of a cost over the budget; the larger one of two quantities."""
        return max(self._ratios(cost)) - 1

    def under(self, cost: Cost) -> Fraction:
        """The relative shortfall of a cost; the larger one of two quantities."""
        return 1 - min(self._ratios(cost))

    def deviation(self, cost: Cost) -> Fraction:
        """The larger of the relative deviations."""
        return max(self.over(cost), self.under(cost))

    def _ratios(self, cost: Cost) -> list[Fraction]:
        pairs = ((cost.parameters, self.parameters), (cost.multiply_adds, self.multiply_adds))
        return [Fraction(count, wanted) for count, wanted in pairs if wanted is not None]


@dataclass(frozen=True, kw_only=True)
class Solution(Generic[Found]):
    """A member of a family or a blueprint, its cost, and its relative deviation from the budget."""

    design: Found
    cost: Cost
    deviation: Fraction


@dataclass(frozen=True, kw_only=True)
class Solutions(Generic[Found]):
    """All members within tolerance, nearest first; the nearest of all; and the bounds of the search.

    `base` differs from the paper's if only another base has members within tolerance; else it is None. `rounded` is how
    the free widths of a blueprint are rounded, further away only if no design of nearer widths is within tolerance.
    """

    within: tuple[Solution[Found], ...]
    nearest: Solution[Found]
    bounds: tuple[Size, ...]
    base: int | None = None
    rounded: Rounded = "to the nearest"

    @property
    def combinations(self) -> int:
        """The number of combinations within the bounds."""
        return prod(len(size.values) for size in self.bounds)


def solve(
    family: str | Family, budget: Budget, *, knobs: Knobs, image: Shape | None = None, classes: int | None = None
) -> Solutions[Design]:
    """The members of a family with these knobs within a budget.

    The base is that of the paper if it has members within tolerance, else the nearest base that has some. A base among
    the knobs is fixed. A depth without a setting has the setting of a bare name with that depth.
    Raises: UnknownName for another family; DesignError if no network has these knobs.
    """
    family = family_called(family)
    set_knobs = {knob: value for knob, value in knobs.items() if (knob, value) != ("base", None)}
    space = space_of(family, {**_usual_setting(family, set_knobs), **set_knobs}, image=image, classes=classes)
    solutions = _nearest_first(space, budget, ())
    if "base" in space.knobs or solutions[0].deviation <= budget.tolerance:
        return _solutions(solutions, budget, space.bounds)
    paper = family.bases[space.example.setting]
    bases = base_size(paper)
    for base in sorted(set(map(int, bases.values)) - {paper}, key=lambda base: (abs(base - paper), base)):
        try:
            solutions = _nearest_first(rebased(space, base), budget, solutions[:1])
        except DesignError:
            continue
        if solutions[0].deviation <= budget.tolerance:
            return _solutions(solutions, budget, (*space.bounds, bases), base)
    return _solutions(solutions, budget, (*space.bounds, bases))


def solve_widths(blueprint: Blueprint, budget: Budget, *, image: Shape, classes: int) -> Solutions[Blueprint]:
    """The blueprint with its widths scaled to a budget, everything else kept.

    Each width is the multiple of its grain that is nearest to the exact proportion; if no such design is within
    tolerance, it is one of the two multiples beside it, or of the four.
    Raises: DesignError if the blueprint is impossible at every width.
    """
    solutions: list[Solution[Blueprint]] = []
    for space in roundings_of(blueprint, image=image, classes=classes):
        solutions = _nearest_first(space, budget, solutions[:1])
        if solutions[0].deviation <= budget.tolerance:
            break
    return replace(_solutions(solutions, budget, space.bounds), rounded=space.rounded)


def _solutions(
    solutions: Sequence[Solution[Found]], budget: Budget, bounds: tuple[Size, ...], base: int | None = None
) -> Solutions[Found]:
    within = tuple(solution for solution in solutions if solution.deviation <= budget.tolerance)
    return Solutions(within=within, nearest=solutions[0], bounds=bounds, base=base)


def _nearest_first(space: Searched[Found], budget: Budget, known: Sequence[Solution[Found]]) -> list[Solution[Found]]:
    """All members within tolerance, or the nearest one, together with known solutions; nearest first.

    Members that cannot be within tolerance and cannot be nearer than a known one are skipped.
    """
    solutions = list(known)
    reach: Reach = max(budget.tolerance, solutions[0].deviation) if solutions else inf
    place = 0
    for row in space.rows():
        for line in _reaching(row, budget, reach):
            place, members = _around(line, budget, reach, place)
            for knobs, cost in members:
                deviation = budget.deviation(cost)
                if deviation <= reach:
                    design = space.member({**line.knobs, **knobs})
                    solutions.append(Solution(design=design, cost=cost, deviation=deviation))
                    reach = max(budget.tolerance, min(reach, deviation))
    if not solutions:  # no member is possible: computing the cost of one raises the reason
        space.cost(space.first)
    return sorted(solutions, key=lambda solution: solution.deviation)


def _reaching(row: Row, budget: Budget, reach: Reach) -> Iterator[Line]:
    """The lines of a row without those whose longest is too cheap or whose shortest is too expensive."""

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
    """The place where the cost on a line reaches the budget, and the members there with their neighbours.

    Along a line the cost grows. The bisection starts at `place`. It ends without members if that place is out of reach,
    all before it are too cheap and all after it too expensive.
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


def _usual_setting(family: Family, knobs: Knobs) -> Knobs:
    """The setting of a bare name with this depth, such as resnext-50-32x4d; empty if none is needed."""
    defaults = {field.name: field.default for field in fields(family.design)}
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


def knobs_of(family: str | Family, words: Iterable[str]) -> Knobs:
    """The knobs in words such as depth=110, with the types of a DESIGN text.

    Raises: UnknownName for an unknown knob, with the nearest one; BlueprintError for a word that is not key=value.
    """
    family = family_called(family)
    return knobs_in(words, family.design, family.name)


_UNIT_WEIGHTS = 69_632
"""Weights of a ResNeXt unit 1x64d behind 256 channels. Source: ResNeXt paper (arXiv:1611.05431), Table 2: about 70k."""


def unit_weights(cardinality: int, width: int) -> int:
    """C·(256·d + 9·d² + 256·d): the weights of a ResNeXt unit of C groups of d channels.

    Source: ResNeXt paper, equation 4.
    """
    return cardinality * (256 * width + 9 * width**2 + 256 * width)


def equal_width(cardinality: int, *, weights: int = _UNIT_WEIGHTS) -> int:
    """The whole width d nearest to the root of C·(256·d + 9·d² + 256·d) = weights.

    Source: ResNeXt paper, equation 4; the widths of Table 2.
    """
    return round((sqrt(256**2 + 9 * weights / cardinality) - 256) / 9)
