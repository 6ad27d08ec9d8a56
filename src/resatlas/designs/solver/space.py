"""What a search of a family covers: which of its knobs are sizes, how far each goes, and how networks grow with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise, product
from typing import Any, get_type_hints

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.cost import Cost
from resatlas.arch.ops import Shape
from resatlas.arch.widths import PerStage, pyramid_width
from resatlas.designs.catalog import families
from resatlas.designs.solver.price import priced, repeating
from resatlas.designs.tasks import TASKS, Design
from resatlas.errors import DepthError, DesignError, GroupsError, WidthError

Knobs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Size:
    """A knob that is searched, and its values in rising order: whole numbers, in the type of the knob."""

    knob: str
    values: Sequence[int | Fraction]

    def __str__(self) -> str:
        return f"{self.knob} {_span(self.values)}"


def _span(values: Sequence[int | Fraction]) -> str:
    """8 to 1202 in steps of 6; 50, 101, 152, 200."""
    steps = {after - before for before, after in pairwise(values)}
    if len(values) > 8 and len(steps) > 1:
        return f"{values[0]} to {values[-1]} ({len(values)} of them)"
    if len(values) < 3 or len(steps) > 1:
        return ", ".join(map(str, values))
    [step] = steps
    return f"{values[0]} to {values[-1]}" + (f" in steps of {step}" if step > 1 else "")


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Depths whose networks differ in the number of units alone, rising, with the units of every stage."""

    depths: tuple[int, ...]
    units: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Space:
    """The members of a family that have some knobs: the sizes left open, the depths that there are, one member."""

    family: str
    knobs: Knobs
    sizes: tuple[Size, ...]
    ladders: tuple[Ladder, ...]
    example: Design
    image: Shape
    classes: int

    @property
    def bounds(self) -> tuple[Size, ...]:
        """Every size that is searched, the depth first."""
        depths = sorted(depth for ladder in self.ladders for depth in ladder.depths)
        return (Size(knob="depth", values=depths), *self.sizes)

    def member(self, knobs: Knobs) -> Design:
        """The member with these knobs beside those that all have.

        Raises: DesignError if there is none.
        """
        return families()[self.family].design(**{**self.knobs, **knobs})

    def cost(self, knobs: Knobs) -> Cost:
        """What the member with these knobs costs.

        Raises: DesignError if there is none.
        """
        return priced(self.member(knobs).blueprint(), image=self.image, classes=self.classes)


@dataclass(frozen=True, kw_only=True)
class Line:
    """Members of which each costs no less than the one before it: what they share, and what tells each from the others.

    `price` is the cost of one by its place, None if it is wider than any network may be.
    """

    knobs: Knobs
    sizes: Sequence[Knobs]
    price: Callable[[int], Cost | None]


Row = Sequence[Callable[[], Line | None]]
"""Lines made when they are asked for; of each the shortest and the longest cost no less than those of the one before.

None is a line that is wider than any network may be.
"""


def space_of(family: str, knobs: Knobs, *, image: Shape | None = None, classes: int | None = None) -> Space:
    """The members of a family that have some knobs.

    Raises: DesignError if there are none.
    """
    depth, *sizes = sizes_of(family)
    free = tuple(size for size in sizes if size.knob not in knobs)
    members = _members(family, knobs, (knobs["depth"],) if "depth" in knobs else depth.values, free)
    task = TASKS[members[0].setting]
    return Space(
        family=family,
        knobs=knobs,
        sizes=free,
        ladders=_ladders(members),
        example=members[0],
        image=image or task.image,
        classes=task.classes if classes is None else classes,
    )


def rebased(space: Space, base: int) -> Space:
    """The same members at another base.

    Raises: DesignError if there are none.
    """
    knobs = {**space.knobs, "base": base}
    [example] = _members(space.family, knobs, (space.example.depth,), space.sizes)
    return replace(space, knobs=knobs, example=example)


def _members(family: str, knobs: Knobs, depths: Sequence[int | Fraction], sizes: tuple[Size, ...]) -> list[Design]:
    """The members of all depths at the first sizes that some member has.

    Raises: DesignError if there are none: a refusal that was not for the depth, if any.
    """
    refused: DesignError | None = None
    for values in product(*(size.values for size in sizes)):
        chosen = {size.knob: value for size, value in zip(sizes, values, strict=True)}
        members: list[Design] = []
        for depth in depths:
            try:
                members.append(families()[family].design(**{**knobs, **chosen, "depth": depth}))
            except WidthError as error:  # at every depth
                refused = error
                break
            except DesignError as error:
                refused = refused if refused and isinstance(error, DepthError) else error
        if members:
            return members
        if not isinstance(refused, WidthError):  # at all sizes
            break
    raise refused or DesignError(f"no {family} has these knobs")


def _ladders(members: list[Design]) -> tuple[Ladder, ...]:
    """Members grouped by what their stages repeat."""
    groups: dict[Blueprint, list[tuple[int, tuple[int, ...]]]] = {}
    for member in members:
        blueprint = member.blueprint()
        alike = replace(blueprint, units=(1,) * len(blueprint.units))
        groups.setdefault(alike, []).append((member.depth, blueprint.units))
    rungs = [tuple(zip(*group, strict=True)) for group in groups.values()]
    return tuple(Ladder(depths=depths, units=units) for depths, units in rungs)


def rows(space: Space) -> Iterator[Row]:
    """All members in lines: along the depth, side by side with the last size; pyramids along the last size."""
    if not isinstance(space.example.blueprint().widths, PerStage):
        sizes = [{size.knob: value} for size in space.sizes for value in size.values] or [{}]
        yield from ([partial(_widening, space, depth, sizes)] for ladder in space.ladders for depth in ladder.depths)
        return
    *others, last = [_values(space, size) for size in space.sizes] or [[{}]]
    for ladder in space.ladders:
        for chosen in product(*others):
            given = {knob: value for each in chosen for knob, value in each.items()}
            yield [cache(partial(_deepening, space, ladder, {**given, **each})) for each in last]


def _values(space: Space, size: Size) -> list[Knobs]:
    """The knob at every value that some member has."""
    example = {knob: getattr(space.example, knob) for knob in ("depth", *(each.knob for each in space.sizes))}
    return [{size.knob: value} for value in size.values if _possible(space, {**example, size.knob: value})]


def _possible(space: Space, knobs: Knobs) -> bool:
    try:
        space.member(knobs)
    except DesignError:
        return False
    return True


def _deepening(space: Space, ladder: Ladder, knobs: Knobs) -> Line | None:
    """Networks of stages of one width that differ in depth alone."""
    try:
        blueprint = space.member({**knobs, "depth": ladder.depths[0]}).blueprint()
        prices = repeating(blueprint, image=space.image, classes=space.classes)
    except (WidthError, GroupsError):
        return None
    return Line(
        knobs=knobs,
        sizes=[{"depth": depth} for depth in ladder.depths],
        price=lambda place: prices.price(ladder.units[place]),
    )


def _widening(space: Space, depth: int, sizes: Sequence[Knobs]) -> Line | None:
    """Pyramids of one depth that widen ever more, but for those that first lose channels."""
    first = next((place for place, size in enumerate(sizes) if not _narrows(space, {"depth": depth, **size})), None)
    if first is None:
        return None
    sizes = sizes[first:]

    @cache
    def price(place: int) -> Cost | None:
        try:
            return space.cost({"depth": depth, **sizes[place]})
        except (WidthError, GroupsError):
            return None

    return Line(knobs={"depth": depth}, sizes=sizes, price=price)


def _narrows(space: Space, knobs: Knobs) -> bool:
    """Whether the first unit of a pyramid is narrower than the stem."""
    blueprint = space.member(knobs).blueprint()
    rule = blueprint.widths
    return not isinstance(rule, PerStage) and pyramid_width(rule, 1, sum(blueprint.units)) < blueprint.stem.width


def base_size(paper: int) -> Size:
    """Other bases than the paper's: sixteenths of it, up to twice."""
    return Size(knob="base", values=range(paper // 16, 2 * paper + 1, paper // 16))


def sizes_of(family: str) -> tuple[Size, ...]:
    """The sizes of a family, the depth first, each in the type of its knob.

    A whole number is searched in every size; of the depths, those that the family has.
    """
    hints = get_type_hints(families()[family].design)
    return tuple(
        Size(knob=knob, values=tuple(map(Fraction, values)) if hints[knob] is Fraction else values)
        for knob, values in families()[family].sizes.items()
    )
