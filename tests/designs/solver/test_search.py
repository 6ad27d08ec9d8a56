"""The solver finds what trying every member finds, and the widths that the ResNeXt paper calls equally complex."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.cost import Cost, cost
from resatlas.arch.expand import expand
from resatlas.designs.catalog import FAMILIES, named, resolve, with_knobs
from resatlas.designs.solver import search
from resatlas.designs.solver.search import Budget, Solutions, equal_width, knobs_of, solve, unit_weights
from resatlas.designs.solver.space import Size, sizes_of
from resatlas.designs.solver.spelling import spelled
from resatlas.designs.tasks import TASKS, Design
from resatlas.errors import BlueprintError, DesignError, UnknownName, UsageError
from tests.designs import toy
from tests.designs.toy import ToyNet

TABLE_2 = {1: 64, 2: 40, 4: 24, 8: 14, 32: 4}
"""Width by cardinality. Source: ResNeXt paper (arXiv:1611.05431), Table 2."""


def test_equal_widths_are_those_of_the_paper() -> None:
    """Equation 4 at the 69,632 weights of 1x64d gives Table 2, and the two cardinalities that it leaves out."""
    assert unit_weights(1, 64) == 69_632
    assert {cardinality: equal_width(cardinality) for cardinality in TABLE_2} == TABLE_2
    assert (equal_width(16), equal_width(64)) == (8, 2)
    assert equal_width(8, weights=unit_weights(8, 30)) == 30


@pytest.mark.parametrize(("cardinality", "width"), TABLE_2.items())
def test_whole_networks_have_the_widths_of_the_paper(cardinality: int, width: int) -> None:
    """At the size of a ResNet-50 the nearest width is that of Table 2, for every cardinality."""
    solutions = solve("resnext", Budget(parameters=25_600_000), knobs={"depth": 50, "cardinality": cardinality})
    assert spelled(solutions.within[0].design) == f"resnext-50-{cardinality}x{width}d"


def test_every_family_is_searched_and_spelled() -> None:
    """A family of the catalogue has bounds, the depth first, and names that say the depth."""
    assert {sizes_of(FAMILIES[family])[0].knob for family in FAMILIES} == {"depth"}
    assert all("{depth}" in family.grammar.head for family in FAMILIES.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bounds_hold_the_papers_networks(family: str) -> None:
    """All sizes of the networks of the catalogue are within the search, except for fractions."""
    for entry in named().values():
        if isinstance(entry.design, FAMILIES[family].design):
            for size in sizes_of(FAMILIES[family]):
                value = getattr(entry.design, size.knob)
                assert value in size.values or Fraction(value).denominator > 1


@dataclass(frozen=True, kw_only=True)
class Box:
    """A small space: what stays, and how far each size goes."""

    family: str
    knobs: dict[str, Any]
    most: dict[str, int]

    def sizes(self) -> tuple[Size, ...]:
        """The sizes of the family, cut short."""
        return tuple(
            Size(knob=size.knob, values=[value for value in size.values if value <= self.most[size.knob]])
            for size in sizes_of(FAMILIES[self.family])
        )

    def members(self) -> Iterator[tuple[str, Cost]]:
        """Every member with its cost, by its plan."""
        free = [size for size in self.sizes() if size.knob not in self.knobs]
        for values in product(*(size.values for size in free)):
            chosen = {size.knob: value for size, value in zip(free, values, strict=True)}
            try:
                design = FAMILIES[self.family].design(**{**self.knobs, **chosen})
                task = TASKS[design.setting]
                plan = expand(design.blueprint(), image=task.image, classes=task.classes)
            except DesignError:
                continue
            yield repr(design), cost(plan)


BOXES = (
    Box(family="resnet", knobs={}, most={"depth": 60, "widen": 5}),
    Box(
        family="resnet", knobs={"unit": "bottleneck", "shortcut": "C", "stride": "3x3"}, most={"depth": 60, "widen": 4}
    ),
    Box(family="resnet", knobs={"setting": "imagenet"}, most={"depth": 110, "widen": 3}),
    Box(family="plain", knobs={"widen": 2}, most={"depth": 60, "widen": 1}),
    Box(family="preact-resnet", knobs={}, most={"depth": 200}),
    Box(family="wide-resnet", knobs={}, most={"depth": 40, "widen": 6}),
    Box(family="wide-resnet", knobs={"setting": "imagenet"}, most={"depth": 101, "widen": 3}),
    Box(family="resnext", knobs={}, most={"depth": 30, "cardinality": 8, "width": 12}),
    Box(family="resnext", knobs={"base": 24}, most={"depth": 30, "cardinality": 4, "width": 48}),
    Box(family="pyramidnet", knobs={}, most={"depth": 26, "alpha": 30}),
    Box(family="pyramidnet", knobs={"shortcut": "projection", "base": 3}, most={"depth": 26, "alpha": 30}),
    Box(family="pyramidnet", knobs={"multiple_of": 8, "base": 20}, most={"depth": 26, "alpha": 30}),
    Box(family="pyramidnet", knobs={"growth": "multiplicative"}, most={"depth": 26, "alpha": 12}),
    Box(family="dmrnet", knobs={"skip": "projector"}, most={"depth": 26, "streams": 4, "widen": 3}),
    Box(family="dilnet", knobs={}, most={"depth": 26, "branches": 3, "widen": 4}),
)


@pytest.fixture(scope="module", params=BOXES, ids=lambda box: f"{box.family} {box.knobs}")
def box(request: pytest.FixtureRequest) -> tuple[Box, dict[str, Cost]]:
    """A small space, and all its members."""
    small: Box = request.param
    return small, dict(small.members())


def solved(small: Box, budget: Budget) -> Solutions[Design]:
    """What is found in a small space, at its own base alone."""

    def no_bases(_: int) -> Size:
        return Size(knob="base", values=())

    with pytest.MonkeyPatch.context() as patch:
        cut = {size.knob: size.values for size in small.sizes()}
        patch.setitem(FAMILIES, small.family, replace(FAMILIES[small.family], sizes=cut))  # type: ignore[arg-type]
        patch.setattr(search, "base_size", no_bases)
        return solve(small.family, budget, knobs=small.knobs)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_solver_finds_what_trying_all_finds(box: tuple[Box, dict[str, Cost]], data: st.DataObject) -> None:
    """For one budget and for two, near a member and between two: the same members, in the order of their deviation."""
    small, members = box
    wanted = [data.draw(st.sampled_from(list(members.values()))) for _ in range(2)]
    budget = Budget(
        parameters=data.draw(st.sampled_from((None, wanted[0].parameters, wanted[0].parameters * 11 // 10))),
        multiply_adds=data.draw(st.sampled_from(wanted)).multiply_adds,
        tolerance=data.draw(st.sampled_from((Fraction(0), Fraction(1, 20), Fraction(2, 5)))),
    )
    deviations = {name: budget.deviation(member) for name, member in members.items()}
    within = {name for name, deviation in deviations.items() if deviation <= budget.tolerance}
    solutions = solved(small, budget)
    assert {repr(solution.design) for solution in solutions.within} == within
    assert [solution.deviation for solution in solutions.within] == sorted(deviations[name] for name in within)
    assert solutions.nearest.deviation == min(deviations.values())
    assert members[repr(solutions.nearest.design)] == solutions.nearest.cost


def test_another_base_only_where_the_paper_s_has_none() -> None:
    """The nearest base that has members within tolerance; none where the paper's has some, or where one is given."""
    knobs = {"depth": 20, "widen": 1}
    solutions = solve("resnet", Budget(parameters=200_000), knobs=knobs)
    assert (solutions.base, [spelled(solution.design) for solution in solutions.within]) == (14, ["resnet-20:base=14"])
    assert solve("resnet", Budget(parameters=270_000), knobs=knobs).base is None
    given_base = solve("resnet", Budget(parameters=200_000), knobs={**knobs, "base": 16})
    assert (given_base.base, given_base.within) == (None, ())
    assert spelled(given_base.nearest.design) == "resnet-20"


def test_groups_that_another_base_does_not_divide_are_no_members() -> None:
    """With other first planes of ResNeXt, only widths that give whole groups are found."""
    solutions = solve("resnext", Budget(parameters=30_000), knobs={"depth": 29})
    assert solutions.base is not None
    assert all(solutions.base * solution.design.width % 64 == 0 for solution in solutions.within)  # type: ignore[attr-defined]


def test_nothing_near_is_told_with_the_nearest() -> None:
    """The nearest member of all bases, and the bounds, the base among them."""
    solutions = solve("resnet", Budget(parameters=10), knobs={})
    assert solutions.within == ()
    assert spelled(solutions.nearest.design) == "resnet-8:base=1"
    assert [str(size) for size in solutions.bounds] == [
        "depth 8 to 1202 in steps of 6",
        "widen 1 to 16",
        "base 1 to 32",
    ]
    assert solutions.combinations == 200 * 16 * 32


@pytest.mark.parametrize(
    ("family", "knobs", "setting"),
    [
        ("resnext", {"depth": 50}, "imagenet"),
        ("resnext", {"depth": 101}, "imagenet"),
        ("resnext", {"depth": 29}, "cifar"),
        ("resnext", {"depth": 101, "setting": "cifar"}, "cifar"),
        ("resnet", {"depth": 50}, "imagenet"),
        ("resnet", {"depth": 110}, "cifar"),
        ("resnet", {"depth": 1001, "unit": "bottleneck"}, "cifar"),
        ("wide-resnet", {"depth": 50}, "imagenet"),
        ("wide-resnet", {"depth": 28}, "cifar"),
        ("pyramidnet", {"depth": 110}, "cifar"),
        ("dmrnet", {"depth": 50}, "cifar"),
    ],
)
def test_a_depth_alone_means_what_a_name_means(family: str, knobs: dict[str, Any], setting: str) -> None:
    """Depth 50 of ResNeXt is the ImageNet network, as in resnext-50-32x4d, unless the setting is given."""
    assert solve(family, Budget(parameters=1_000_000), knobs=knobs).nearest.design.setting == setting


def test_images_and_classes_count() -> None:
    """Solutions cost what their plans cost for the images and classes asked for."""
    image = resolve("resnet-20").image._replace(channels=1)
    solutions = solve("resnet", Budget(parameters=270_000), knobs={"depth": 20}, image=image, classes=100)
    assert solutions.nearest.cost == cost(resolve("resnet-20").plan(image=image, classes=100))


def test_of_two_budgets_the_larger_deviation_counts() -> None:
    """A network 1 % over in one and 3 % under in the other is 3 % off."""
    budget = Budget(parameters=100, multiply_adds=100)
    assert budget.deviation(Cost(101, 97)) == Fraction(3, 100)
    assert budget.deviation(Cost(104, 97)) == Fraction(4, 100)


@pytest.mark.parametrize("values", [{}, {"parameters": 0}, {"parameters": 5, "tolerance": Fraction(2)}])
def test_budgets_that_are_none_are_refused(values: dict[str, Any]) -> None:
    """A budget names at least one size, from 1 on, and a tolerance of at most a half."""
    with pytest.raises(UsageError):
        Budget(**values)


def test_knobs_are_read_as_in_a_design() -> None:
    """Each has the type of its knob; an unknown one is refused with the nearest name."""
    assert knobs_of("pyramidnet", ["depth=110", "alpha=48.5", "dropout=0.5"]) == {
        "depth": 110,
        "alpha": Fraction(97, 2),
        "dropout": 0.5,
    }
    with pytest.raises(UnknownName, match='no knob of resnext "dpeth"; did you mean "depth"'):
        knobs_of("resnext", ["dpeth=50"])
    with pytest.raises(UnknownName, match='no family "resnxt"; did you mean "resnext"'):
        knobs_of("resnxt", [])
    with pytest.raises(BlueprintError, match='resnext: depth needs a whole number; got "x"'):
        knobs_of("resnext", ["depth=x"])
    with pytest.raises(BlueprintError, match="is given twice"):
        knobs_of("resnext", ["depth=29", "depth=29"])
    with pytest.raises(BlueprintError, match="a knob is written key=value"):
        knobs_of("resnext", ["depth"])


@pytest.mark.parametrize(
    ("family", "knobs", "words"),
    [
        ("resnext", {"depth": 51}, "nearest: 47, 56"),
        ("resnet", {"stride": "3x3"}, "only a bottleneck can have its stride on the 3x3"),
        ("resnext", {"base": 100_000}, "a unit is 1 to 65,536 channels wide; got 100,000"),
        ("wide-resnet", {"widen": Fraction(1, 3)}, "widths are whole numbers of channels"),
    ],
)
def test_knobs_that_no_network_has_are_refused_in_its_words(family: str, knobs: dict[str, Any], words: str) -> None:
    """The error is the design's own, and not about a depth that was not requested."""
    with pytest.raises(DesignError, match=words):
        solve(family, Budget(parameters=1_000_000), knobs=knobs)


def test_a_family_stands_in_place_of_its_name() -> None:
    """A family that no catalogue knows is searched as its value, and its members are written by its knobs."""
    plan = resolve(ToyNet(depth=14, base=8)).plan()
    found = solve(toy.FAMILY, Budget(parameters=cost(plan).parameters, tolerance=Fraction(0)), knobs={"base": 8})
    assert [with_knobs("nets.py:TOY", solution.design) for solution in found.within] == ["nets.py:TOY:depth=14,base=8"]
    with pytest.raises(UnknownName, match="no family"):
        solve("toy", Budget(parameters=1000), knobs={})


def test_the_first_word_of_names_leads_to_the_family() -> None:
    """All wide ResNets are called wrn-…, and the family is wide-resnet."""
    with pytest.raises(UnknownName, match='no family "wrn"; did you mean "wide-resnet"'):
        knobs_of("wrn", [])
