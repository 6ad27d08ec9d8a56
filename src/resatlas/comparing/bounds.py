"""Two kinds of design at an equal budget, from the budgets of their sizes: contrasts that bound the difference.

Sizes within 10 % of a budget count as at the budget, and the interval contains the rest: over this distance an error is
assumed to change by at most the same share as the budget, so by 3 % of itself over 3 % of the budget. Between two
neighbouring sizes the error of a kind is assumed to lie between theirs; neither a linear nor a convex curve is assumed.
With three sizes or more, its curve over the logarithm of the budget is also assumed to bend in one direction only. Then
the error lies between the chord of the two sizes around the budget and the line through the next two, in whichever
direction the curve bends. So no claim depends on a fitted curve.
"""

import math
from collections.abc import Hashable, Sequence

from resatlas.comparing.claims import Bound, Claim, Ways

TOLERANCE = 1.10
"""Budgets whose larger is at most this many times the smaller are compared directly."""

Weights = tuple[tuple[int, float], ...]
"""Designs by their place, each with its weight; the weights add up to 1."""


def within_tolerance(one: float, other: float) -> bool:
    """Whether two amounts are close enough for a direct comparison."""
    return max(one, other) <= TOLERANCE * min(one, other)


def comparable_amounts(
    first: int, second: int, amounts: Sequence[float], kinds: Sequence[Hashable | None]
) -> tuple[tuple[float, Ways], ...]:
    """The amounts at which two designs, or their kinds, can be compared, each with its bounds; may be empty.

    Designs are given as their places in `amounts` and `kinds`, where None marks one that must not represent its kind.
    """
    a, b = amounts[first], amounts[second]
    if within_tolerance(a, b):
        return ((a, (_direct_way(first, second, amounts),)),)
    if kinds[first] is not None and kinds[first] == kinds[second]:
        return ()
    comparable: list[tuple[float, Ways]] = []
    for amount, one, like, sign in ((a, first, second, 1.0), (b, second, first, -1.0)):
        places = [place for place, kind in enumerate(kinds) if kind is not None and kind == kinds[like]]
        places.sort(key=lambda place: (amounts[place], place))
        near = min(places, key=lambda place: abs(math.log(amounts[place] / amount)), default=like)
        if within_tolerance(amounts[near], amount):
            pair = (one, near) if sign > 0 else (near, one)
            comparable.append((amount, (_direct_way(*pair, amounts),)))
        elif ways := _bounds_at(amount, [amounts[place] for place in places]):
            comparable.append((amount, tuple(_against_kind(one, way, places, sign, len(amounts)) for way in ways)))
    return tuple(comparable)


def claim(first: int, second: int, amounts: Sequence[float], kinds: Sequence[Hashable | None]) -> Claim:
    """All amounts at which two designs can be compared, as the claim that is judged."""
    return tuple(ways for _, ways in comparable_amounts(first, second, amounts, kinds))


def _bounds_at(amount: float, sizes: Sequence[float]) -> tuple[tuple[Weights, ...], ...]:
    """Ways to enclose the error at an amount: a value beyond all bounds of one of the ways is beyond the error.

    Empty if the amount is outside the sizes, which are amounts in ascending order.
    """
    above = next((k for k, size in enumerate(sizes) if size > amount), 0)
    if not above:
        return ()
    low, high = above - 1, above
    chord = _line(amount, sizes, low, high)
    ends = (((low, 1.0),), ((high, 1.0),))
    outer = _outer_sizes(amount, sizes, low, high)
    return ((*ends, chord), (chord, _line(amount, sizes, *outer))) if outer else (ends,)


def direct_bound(first: int, second: int, count: int, *, slack: float = 0.0) -> Bound:
    """First minus second, among `count` designs."""
    weights = [0.0] * count
    weights[first], weights[second] = 1.0, -1.0
    return Bound(weights=tuple(weights), slack=slack)


def _direct_way(first: int, second: int, amounts: Sequence[float]) -> tuple[Bound, ...]:
    ratio = max(amounts[first], amounts[second]) / min(amounts[first], amounts[second])
    return (direct_bound(first, second, len(amounts), slack=ratio - 1),)


def _against_kind(
    one: int, way: Sequence[Weights], places: Sequence[int], sign: float, count: int
) -> tuple[Bound, ...]:
    """A design minus each bound on a kind, or each bound minus the design where the sign is negative."""
    bounds = []
    for contrast in way:
        weights = [0.0] * count
        weights[one] = sign
        for place, weight in contrast:
            weights[places[place]] -= sign * weight
        bounds.append(Bound(weights=tuple(weights)))
    return tuple(bounds)


def _outer_sizes(amount: float, sizes: Sequence[float], low: int, high: int) -> tuple[int, int] | None:
    """The two sizes whose line is extended to the amount, on the side of the nearer of the sizes around it."""
    left = (low - 1, low) if low > 0 else None
    right = (high, high + 1) if high + 1 < len(sizes) else None
    return (left if amount / sizes[low] <= sizes[high] / amount else right) if left and right else left or right


def _line(amount: float, sizes: Sequence[float], low: int, high: int) -> Weights:
    """The line through two sizes over the logarithm of the budget, at an amount between or outside them."""
    weight = math.log(amount / sizes[low]) / math.log(sizes[high] / sizes[low])
    return (low, 1 - weight), (high, weight)
