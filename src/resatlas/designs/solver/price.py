"""The cost of a network without its plan: repeated units are counted once, widening units by a formula.

The figures equal `cost(expand(…))`, but are fast enough for a search over thousands of networks.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import assert_never

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.cost import Cost, cost, total_cost, unit_cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage, Pyramid, unit_widths
from resatlas.errors import WidthError


def priced(blueprint: Blueprint, *, image: Shape, classes: int) -> Cost:
    """The cost of a blueprint, equal to `cost(expand(…))`.

    Raises: as `expand`; WidthError for a pyramid whose first unit is narrower than its stem.
    """
    match blueprint.widths:
        case PerStage():
            return repeating(blueprint, image=image, classes=classes).price(blueprint.units)
        case AdditivePyramid() | MultiplicativePyramid() as rule:
            alike = replace(blueprint, units=(1,) * len(blueprint.units), widths=PerStage((rule.expansion,)))
            prices = _growing(alike, expansion=rule.expansion, image=image, classes=classes)
            return prices.price(rule, blueprint.units)
        case _:
            assert_never(blueprint.widths)


@dataclass(frozen=True, slots=True)
class Repeating:
    """The cost of n_s units in each stage s of one width: pairs + Σ (n_s - 2)·repeated_s.

    `pairs` is the cost of the network with two units per stage, `repeated` that of the second unit of each stage.
    """

    pairs: Cost
    repeated: tuple[Cost, ...]

    def price(self, units: tuple[int, ...]) -> Cost:
        """The cost with these numbers of units per stage."""
        more = [count - 2 for count in units]
        return _weighted([(1, self.pairs), *zip(more, self.repeated, strict=True)])


def repeating(blueprint: Blueprint, *, image: Shape, classes: int) -> Repeating:
    """The costs of a blueprint whose stages have one width each, for every number of units.

    Raises: as `expand`.
    """
    plan = expand(replace(blueprint, units=(2,) * len(blueprint.units)), image=image, classes=classes)
    return Repeating(cost(plan), tuple(unit_cost(stage[1]) for stage in plan.stages))


@dataclass(frozen=True, slots=True)
class Quadratic:
    """Σ differences·(1, x, y, x(x - 1)/2, xy, y(y - 1)/2), for whole x and y."""

    differences: tuple[Cost, ...]

    def price(self, places: Iterable[tuple[int, int]]) -> Cost:
        """The sum over places (x, y)."""
        bases = [(1, x, y, x * (x - 1) // 2, x * y, y * (y - 1) // 2) for x, y in places]
        return _weighted(zip(map(sum, zip(*bases, strict=True)), self.differences, strict=True))


def _quadratic(value: Callable[[int, int], Cost]) -> Quadratic:
    """The quadratic through the values at (0, 0), (1, 0), (0, 1), (2, 0), (1, 1) and (0, 2): Newton's differences."""
    origin, right, up = value(0, 0), value(1, 0), value(0, 1)
    return Quadratic(
        (
            origin,
            _weighted([(1, right), (-1, origin)]),
            _weighted([(1, up), (-1, origin)]),
            _weighted([(1, value(2, 0)), (-2, right), (1, origin)]),
            _weighted([(1, value(1, 1)), (-1, right), (-1, up), (1, origin)]),
            _weighted([(1, value(0, 2)), (-2, up), (1, origin)]),
        )
    )


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a unit in a pyramid: its stage, whether it has a stride, and whether it widens."""

    stage: int
    strided: bool
    widens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """The cost of a pyramid: stem, head, and for each unit a quadratic of its input and output width."""

    stem: Cost
    head: Quadratic
    units: dict[Place, Quadratic]
    start: int
    expansion: int
    first_stride: int

    def price(self, rule: Pyramid, units: tuple[int, ...]) -> Cost:
        """The cost with these numbers of units per stage, which widen by the rule.

        Raises: WidthError if the first unit is narrower than the stem.
        """
        places: defaultdict[Place, list[tuple[int, int]]] = defaultdict(list)
        narrow = self.start
        for stage, widths in enumerate(unit_widths(rule, units)):
            for index, wide in enumerate(widths):
                if wide < narrow:
                    raise WidthError(f"a pyramid only widens; this one narrows from {narrow} to {wide} channels")
                place = Place(stage, not index and (stage > 0 or self.first_stride > 1), wide > narrow)
                places[place].append(_coordinates(place, narrow, wide, self.expansion))
                narrow = wide
        parts = [self.units[place].price(where) for place, where in places.items()]
        return sum(parts, self.stem + self.head.price([(narrow // self.expansion - 1, 0)]))


@cache
def _growing(blueprint: Blueprint, *, expansion: int, image: Shape, classes: int) -> Growing:
    """The costs of all pyramids with this stem, unit, head and number of stages."""
    stages = len(blueprint.units)
    even = replace(blueprint, units=(1,) * stages, widths=PerStage((expansion * blueprint.stem.width,) * stages))
    whole = expand(even, image=image, classes=classes)
    maps = [stage[0].output for stage in whole.stages]
    before = [whole.stem[-1].output, *maps]

    def head(x: int, _: int) -> Cost:
        width = expansion * (1 + x)
        return total_cost(_alone(blueprint, maps[-1], classes, width, width).head)

    def unit(place: Place) -> Quadratic:
        def value(x: int, y: int) -> Cost:
            narrow, wide = _widths(place, x, y, expansion)
            maps_in = before[place.stage] if place.strided else maps[place.stage]
            widths = (narrow, wide) if place.strided else (wide,)
            return unit_cost(_alone(blueprint, maps_in, classes, narrow, *widths).stages[-1][0])

        return _quadratic(value)

    places = [
        Place(stage, strided, widens)
        for stage in range(stages)
        for strided in ((False, True) if stage or blueprint.first_stride > 1 else (False,))
        for widens in (False, True)
    ]
    return Growing(
        stem=total_cost(whole.stem),
        head=_quadratic(head),
        units={place: unit(place) for place in places},
        start=blueprint.stem.width,
        expansion=expansion,
        first_stride=blueprint.first_stride,
    )


def _widths(place: Place, x: int, y: int, expansion: int) -> tuple[int, int]:
    """The widths at (x, y); strided units and units that keep their width have inputs divisible by the expansion."""
    if not place.widens:
        return expansion * (1 + x), expansion * (1 + x)
    return (expansion if place.strided else 1) * (1 + x), expansion * (4 + y)


def _coordinates(place: Place, narrow: int, wide: int, expansion: int) -> tuple[int, int]:
    """The (x, y) of two widths, as `_widths` has them."""
    if not place.widens:
        return wide // expansion - 1, 0
    return narrow // (expansion if place.strided else 1) - 1, wide // expansion - 4


def _alone(blueprint: Blueprint, maps: Shape, classes: int, narrow: int, *widths: int) -> Plan:
    """A plan of one unit for every width, after a stem with `narrow` channels."""
    alone = replace(
        blueprint,
        stem=Stem(width=narrow, after=()),
        units=(1,) * len(widths),
        widths=PerStage(widths),
        first_stride=1,
    )
    return expand(alone, image=maps._replace(channels=1), classes=classes)


def _weighted(terms: Iterable[tuple[int, Cost]]) -> Cost:
    """The sum of costs with integer weights."""
    parameters = multiply_adds = activations = 0
    for count, part in terms:
        parameters += count * part.parameters
        multiply_adds += count * part.multiply_adds
        activations += count * part.activations
    return Cost(parameters, multiply_adds, activations)
