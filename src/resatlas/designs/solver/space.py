"""The space of a search: the knobs of a family that are sizes, their bounds, and how cost grows with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise, product
from typing import Any, Protocol, TypeVar, get_type_hints

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.cost import Cost
from resatlas.arch.ops import Shape
from resatlas.arch.widths import PerStage, pyramid_width
from resatlas.designs.family import Family
from resatlas.designs.solver.price import priced, repeating
from resatlas.designs.tasks import TASKS, Design
from resatlas.errors import DepthError, DesignError, GroupsError, WidthError

Knobs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Size:
    """A knob to search and its values in ascending order: whole numbers, in the type of the knob."""

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
    """Depths, ascending, whose networks differ only in the number of units, with the units of every stage."""

    depths: tuple[int, ...]
    units: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Space:
    """The members of a family with fixed knobs: the free sizes, the possible depths, and one member as an example."""

    family: Family
    knobs: Knobs
    sizes: tuple[Size, ...]
    ladders: tuple[Ladder, ...]
    example: Design
    image: Shape
    classes: int

    @property
    def bounds(self) -> tuple[Size, ...]:
        """All sizes to search, the depth first."""
        depths = sorted(depth for ladder in self.ladders for depth in ladder.depths)
        return (Size(knob="depth", values=depths), *self.sizes)

    @property
    def first(self) -> Knobs:
        """The knobs of the example that are searched."""
        return {knob: getattr(self.example, knob) for knob in ("depth", *(size.knob for size in self.sizes))}

    def member(self, knobs: Knobs) -> Design:
        """The member with these knobs and the fixed ones.

        Raises: DesignError if it is impossible.
        """
        return self.family.design(**{**self.knobs, **knobs})

    def cost(self, knobs: Knobs) -> Cost:
        """The cost of the member with these knobs.

        Raises: DesignError if it is impossible.
        """
        return priced(self.member(knobs).blueprint(), image=self.image, classes=self.classes)

    def rows(self) -> Iterator["Row"]:
        """All members: lines along the depth in rows along the last size; for pyramids, lines along the last size."""
        if not isinstance(self.example.blueprint().widths, PerStage):
            sizes = [{size.knob: value} for size in self.sizes for value in size.values] or [{}]
            yield from ([partial(_widening, self, depth, sizes)] for ladder in self.ladders for depth in ladder.depths)
            return
        *others, last = [_values(self, size) for size in self.sizes] or [[{}]]
        for ladder in self.ladders:
            for chosen in product(*others):
                fixed = {knob: value for size in chosen for knob, value in size.items()}
                yield [cache(partial(_deepening, self, ladder, {**fixed, **size})) for size in last]


@dataclass(frozen=True, kw_only=True)
class Line:
    """Members in ascending order of cost: their common knobs, and the knobs in which they differ.

    `price` is the cost of a member by its index; None if its width exceeds the limits.
    """

    knobs: Knobs
    sizes: Sequence[Knobs]
    price: Callable[[int], Cost | None]


Row = Sequence[Callable[[], Line | None]]
"""Lines, created lazily; the shortest and the longest cost at least as much as those of the line before.

None is a line whose width exceeds the limits.
"""

Member = TypeVar("Member", covariant=True)


class Searched(Protocol[Member]):
    """Members to search, by their knobs; `first` are those of one whose cost, if it has none, says why."""

    @property
    def first(self) -> Knobs:
        """The knobs of one member."""
        ...

    def rows(self) -> Iterator[Row]:
        """All members in lines, ordered by their cost."""
        ...

    def member(self, knobs: Knobs) -> Member:
        """The member with these knobs."""
        ...

    def cost(self, knobs: Knobs) -> Cost:
        """The cost of the member with these knobs."""
        ...


def space_of(family: Family, knobs: Knobs, *, image: Shape | None = None, classes: int | None = None) -> Space:
    """The space of the members of a family with fixed knobs.

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
    """The space with another base.

    Raises: DesignError if there are none.
    """
    knobs = {**space.knobs, "base": base}
    [example] = _members(space.family, knobs, (space.example.depth,), space.sizes)
    return replace(space, knobs=knobs, example=example)


def _members(family: Family, knobs: Knobs, depths: Sequence[int | Fraction], sizes: tuple[Size, ...]) -> list[Design]:
    """The members of all depths at the first sizes that are possible.

    Raises: DesignError if there are none; preferably an error that is not about the depth.
    """
    refused: DesignError | None = None
    for values in product(*(size.values for size in sizes)):
        chosen = {size.knob: value for size, value in zip(sizes, values, strict=True)}
        members: list[Design] = []
        for depth in depths:
            try:
                members.append(family.design(**{**knobs, **chosen, "depth": depth}))
            except WidthError as error:  # the width is impossible at every depth
                refused = error
                break
            except DesignError as error:
                refused = refused if refused and isinstance(error, DepthError) else error
        if members:
            return members
        if not isinstance(refused, WidthError):  # impossible at all sizes
            break
    raise refused or DesignError(f"no {family.name} has these knobs")


def _ladders(members: list[Design]) -> tuple[Ladder, ...]:
    """Members grouped by blueprints that are equal except for the number of units."""
    groups: dict[Blueprint, list[tuple[int, tuple[int, ...]]]] = {}
    for member in members:
        blueprint = member.blueprint()
        alike = replace(blueprint, units=(1,) * len(blueprint.units))
        groups.setdefault(alike, []).append((member.depth, blueprint.units))
    rungs = [tuple(zip(*group, strict=True)) for group in groups.values()]
    return tuple(Ladder(depths=depths, units=units) for depths, units in rungs)


def _values(space: Space, size: Size) -> list[Knobs]:
    """The possible values of a size."""
    return [{size.knob: value} for value in size.values if _possible(space, {**space.first, size.knob: value})]


def _possible(space: Space, knobs: Knobs) -> bool:
    try:
        space.member(knobs)
    except DesignError:
        return False
    return True


def _deepening(space: Space, ladder: Ladder, knobs: Knobs) -> Line | None:
    """Networks with stages of constant width that differ only in depth."""
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
    """Pyramids of one depth in ascending order of width, without those that narrow first."""
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
    """The bases to search: multiples of a sixteenth of the paper's base, up to twice."""
    return Size(knob="base", values=range(paper // 16, 2 * paper + 1, paper // 16))


def sizes_of(family: Family) -> tuple[Size, ...]:
    """The sizes of a family, the depth first, each in the type of its knob.

    Every size is searched in whole numbers; impossible depths are skipped.
    """
    hints = get_type_hints(family.design)
    return tuple(
        Size(knob=knob, values=tuple(map(Fraction, values)) if hints[knob] is Fraction else values)
        for knob, values in family.sizes.items()
    )
