"""The widths of a blueprint are scaled to a budget: in proportion, as groups and shares divide them, nothing else."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.cost import Cost, cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Conv, Shape
from resatlas.arch.residual import (
    PRE_ACTIVATION,
    PYRAMIDAL,
    Ordering,
    Projection,
    Residual,
    ZeroPad,
    basic,
    bottleneck,
)
from resatlas.arch.streams import MergeAndRun, Single
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage
from resatlas.designs.solver.free_widths import FreeWidths
from resatlas.designs.solver.search import Budget, solve_widths
from resatlas.errors import ImageError, WidthError

IMAGE, CLASSES = Shape(1, 8, 8), 4
DENSE, GROUPED = bottleneck(), bottleneck(Fraction(1, 2), groups=4)

WIDTHS = {
    ("doubling", "dense"): (16, PerStage((16, 32, 64))),
    ("doubling", "grouped"): (16, PerStage((16, 32, 64))),
    ("pyramid", "dense"): (16, AdditivePyramid(start=4, alpha=Fraction(14), expansion=4)),
    ("pyramid", "grouped"): (16, AdditivePyramid(start=8, alpha=Fraction(26), expansion=2, multiple_of=4)),
}

CELLS = {
    f"{rule} {convs} {order} {count} x {units}": Blueprint(
        stem=Stem(width=stem),
        units=(units,) * 3,
        widths=widths,
        residual=Residual(
            convs=DENSE if convs == "dense" else GROUPED,
            order=PYRAMIDAL if order == "pyramidal" else Ordering(),
            shortcut=ZeroPad(),
        ),
        streams=Single() if count == 1 else MergeAndRun(count=count),
    )
    for ((rule, convs), (stem, widths)), order, count, units in product(
        WIDTHS.items(), ("post", "pyramidal"), (1, 2), (1, 3)
    )
}


def times(blueprint: Blueprint, scale: Fraction) -> Blueprint:
    """The blueprint with all its numbers of widths multiplied."""
    rule = blueprint.widths
    widths = (
        PerStage(tuple(int(scale * width) for width in rule.widths))
        if isinstance(rule, PerStage)
        else replace(rule, start=int(scale * rule.start), alpha=scale * rule.alpha)
    )
    return replace(blueprint, stem=replace(blueprint.stem, width=int(scale * blueprint.stem.width)), widths=widths)


def price(blueprint: Blueprint) -> Cost:
    """The cost of its plan."""
    return cost(expand(blueprint, image=IMAGE, classes=CLASSES))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scale", [Fraction(2), Fraction(1, 2)], ids=str)
def test_doubled_and_halved_widths_come_back(cell: str, scale: Fraction) -> None:
    """The budget of a cell is met exactly from twice its widths and from half of them."""
    own = price(CELLS[cell])
    budget = Budget(multiply_adds=own.multiply_adds, tolerance=Fraction(3, 100))
    solutions = solve_widths(times(CELLS[cell], scale), budget, image=IMAGE, classes=CLASSES)
    assert solutions.rounded == "to the nearest"
    assert solutions.nearest.deviation == 0
    assert {price(solution.design) == solution.cost for solution in solutions.within} == {True}


@pytest.mark.parametrize("cell", list(CELLS)[::3])
def test_everything_but_the_widths_is_kept(cell: str) -> None:
    """Units, order, streams, groups, multiple_of and expansion are the blueprint's own, and the stem fits the start."""
    blueprint, own = CELLS[cell], price(CELLS[cell]).multiply_adds
    for many in (2, 3, 5):
        budget = Budget(multiply_adds=many * own, tolerance=Fraction(3, 100))
        for solution in solve_widths(blueprint, budget, image=IMAGE, classes=CLASSES).within:
            design = solution.design
            assert replace(design, stem=blueprint.stem, widths=blueprint.widths) == blueprint
            if isinstance(design.widths, PerStage):
                assert design.stem.width == design.widths.widths[0]
            else:
                assert isinstance(blueprint.widths, AdditivePyramid)
                assert design.stem.width == design.widths.start * design.widths.expansion
                assert replace(design.widths, start=8, alpha=Fraction(1)) == replace(
                    blueprint.widths, start=8, alpha=Fraction(1)
                )


def test_both_budgets_hold() -> None:
    """Of two budgets both are within tolerance."""
    blueprint = CELLS["doubling dense post 1 x 3"]
    own = price(blueprint)
    budget = Budget(parameters=own.parameters, multiply_adds=own.multiply_adds, tolerance=Fraction(3, 100))
    solutions = solve_widths(times(blueprint, Fraction(2)), budget, image=IMAGE, classes=CLASSES)
    assert solutions.nearest.cost == own
    assert all(abs(solution.cost.parameters / own.parameters - 1) <= 0.03 for solution in solutions.within)


SMALL = Blueprint(
    stem=Stem(width=4),
    units=(1, 2),
    widths=PerStage((4, 10)),
    residual=Residual(convs=basic(), order=PRE_ACTIVATION, shortcut=Projection()),
)


def test_the_nearest_is_the_nearest_of_all() -> None:
    """What trying every width of the widest stage finds, the other rounded to the nearest whole number."""
    everything: dict[tuple[int, ...], int] = {}
    for last in range(1, 81):
        first = max((2 * last * 4 + 10) // 20, 1)
        blueprint = replace(SMALL, stem=Stem(width=first), widths=PerStage((first, last)))
        everything[first, last] = price(blueprint).multiply_adds
    for wanted in (20_000, 33_333, 200_000, 654_321):
        budget = Budget(multiply_adds=wanted, tolerance=Fraction(1, 5))
        within = {widths: abs(n - wanted) for widths, n in everything.items() if 5 * abs(n - wanted) <= wanted}
        solutions = solve_widths(SMALL, budget, image=IMAGE, classes=CLASSES)
        rules = [solution.design.widths for solution in solutions.within]
        found = [rule.widths for rule in rules if isinstance(rule, PerStage)]
        assert sorted(found) == sorted(within)
        assert [within[widths] for widths in found] == sorted(within.values())


def test_coarse_widths_are_rounded_further_only_where_they_must() -> None:
    """Multiples of sixteen that miss the budget in proportion: one multiple beside it, then two."""
    coarse = replace(
        CELLS["doubling grouped post 1 x 3"],
        residual=Residual(convs=bottleneck(Fraction(1, 2), groups=8), shortcut=ZeroPad()),
    )
    costs = {
        widths: price(replace(coarse, stem=Stem(width=widths[0]), widths=PerStage(widths))).multiply_adds
        for widths in ((32, 64, 128), (32, 64, 112), (32, 64, 80))
    }
    for widths, rounded in (((32, 64, 128), "to the nearest"), ((32, 64, 80), "to one of four")):
        budget = Budget(multiply_adds=costs[widths], tolerance=Fraction(1, 1000))
        solutions = solve_widths(coarse, budget, image=IMAGE, classes=CLASSES)
        assert (solutions.rounded, solutions.nearest.design.widths) == (rounded, PerStage(widths))


def test_each_design_is_found_once() -> None:
    """Numbers of a pyramid that round to equal widths are one design, and so are equal roundings."""
    for blueprint in (CELLS["pyramid grouped post 1 x 3"], CELLS["doubling grouped post 1 x 3"]):
        for rounded in ("to the nearest", "to one of four"):
            space = FreeWidths(blueprint=blueprint, image=IMAGE, classes=CLASSES, rounded=rounded)
            lines = [line for row in space.rows() for line in [row[0]()] if line]
            plans = [
                tuple(unit.output for _, unit in expand(space.member(size), image=IMAGE, classes=CLASSES).units)
                for line in lines
                for size in line.sizes
            ]
            assert len(plans) == len(set(plans))
            for line in lines:
                counts = [line.price(place) for place in range(len(line.sizes))]
                amounts = [total.multiply_adds for total in counts if total]
                assert len(amounts) == len(counts)
                assert amounts == sorted(amounts)


@pytest.mark.parametrize(
    ("convs", "stages"),
    [
        (basic(), (1, 2)),
        ((Conv(3, strided=True, groups=6), Conv(3, groups=4)), (12, 24)),
        (bottleneck(Fraction(1, 3), groups=4), (12, 24)),
        (bottleneck(Fraction(3, 4), groups=6), (8, 16)),
    ],
    ids=["any", "groups of both", "a third", "three quarters"],
)
def test_widths_are_multiples_of_what_divides_them(convs: tuple[Conv, ...], stages: tuple[int, int]) -> None:
    """The narrowest stage of the search is the least width that can be built."""
    blueprint = replace(SMALL, widths=PerStage((120, 240)), stem=Stem(width=120), residual=Residual(convs=convs))
    smallest = solve_widths(blueprint, Budget(multiply_adds=1), image=IMAGE, classes=CLASSES).nearest
    assert isinstance(smallest.design.widths, PerStage)
    assert smallest.design.widths.widths[0] == stages[0]
    assert smallest.cost == price(smallest.design)


def test_a_stem_that_rounding_made_too_wide_is_narrowed() -> None:
    """Half of 28, 7 and 15 is 14, 3 and 7, and a stem of 14 is wider than a start of 4 x 3; it comes back to 28."""
    rule = AdditivePyramid(start=7, alpha=Fraction(15), expansion=4)
    blueprint = replace(CELLS["pyramid dense post 2 x 3"], stem=Stem(width=28), widths=rule)
    halved = replace(blueprint, stem=Stem(width=14), widths=replace(rule, start=3, alpha=Fraction(7)))
    budget = Budget(multiply_adds=price(blueprint).multiply_adds, tolerance=Fraction(3, 100))
    solutions = solve_widths(halved, budget, image=IMAGE, classes=CLASSES)
    assert solutions.within
    assert solutions.within[0].design.stem == blueprint.stem
    projecting = replace(halved, residual=replace(halved.residual, shortcut=Projection()))
    found = solve_widths(projecting, budget, image=IMAGE, classes=CLASSES).nearest.design
    assert isinstance(found.widths, AdditivePyramid)
    assert found.stem.width > 4 * found.widths.start


def test_a_multiplicative_pyramid_keeps_its_factor_nearly() -> None:
    """Start and end are whole numbers, so that alpha is a fraction near that of the blueprint."""
    rule = MultiplicativePyramid(start=8, alpha=Fraction(4))
    blueprint = replace(SMALL, stem=Stem(width=8), widths=rule, units=(2, 2))
    budget = Budget(multiply_adds=3 * price(blueprint).multiply_adds, tolerance=Fraction(3, 100))
    solutions = solve_widths(blueprint, budget, image=IMAGE, classes=CLASSES)
    assert solutions.within
    for solution in solutions.within:
        assert isinstance(solution.design.widths, MultiplicativePyramid)
        assert abs(solution.design.widths.alpha / 4 - 1) < Fraction(1, 8)


def test_what_no_width_mends_is_refused_in_its_words() -> None:
    """An image that is too small, another number of widths than stages."""
    budget = Budget(multiply_adds=1000)
    with pytest.raises(ImageError, match="too small for a stride"):
        solve_widths(SMALL, budget, image=Shape(1, 1, 1), classes=CLASSES)
    with pytest.raises(WidthError, match="2 stages need 2 widths; got 3"):
        solve_widths(replace(SMALL, widths=PerStage((4, 8, 16))), budget, image=IMAGE, classes=CLASSES)
