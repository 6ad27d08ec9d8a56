"""Two kinds of design at an equal budget, from the budgets of their sizes: contrasts that bound the difference.

Sizes within 10 % of a budget count as at it, and the rest of the way is in the interval: over it an error is taken to
change by no more than the budget itself does, so by 3 % of itself over 3 % of the budget. Between two neighbouring
sizes the error of a kind is taken to lie between theirs, and nothing more: neither that it is linear nor that it is
convex. From three sizes on its curve over the logarithm of the budget is also taken to bend one way only; then it lies
between the chord of the two sizes about the budget and the line through the next two, whichever way that is. So no
claim rests on a fitted curve.
"""

import math
from collections.abc import Hashable, Sequence

from resatlas.comparing.claims import Amount, Bound, Claim

TOLERANCE = 1.10
"""Budgets whose larger is at most this many times the smaller are compared directly."""

Weights = tuple[tuple[int, float], ...]
"""Designs by their place, each with its weight; the weights add up to 1."""


def equal(one: float, other: float) -> bool:
    """Whether two amounts are near enough for a direct comparison."""
    return max(one, other) <= TOLERANCE * min(one, other)


def at_equal(
    first: int, second: int, amounts: Sequence[float], kinds: Sequence[Hashable | None]
) -> tuple[tuple[float, Amount], ...]:
    """The amounts at which two designs, or their kinds, can be compared, each with its bounds; none if there are none.

    Designs are their places in `amounts` and `kinds`, where None marks one that is not to stand for its kind.
    """
    a, b = amounts[first], amounts[second]
    if equal(a, b):
        return ((a, (_direct(first, second, amounts),)),)
    if kinds[first] is not None and kinds[first] == kinds[second]:
        return ()
    found: list[tuple[float, Amount]] = []
    for amount, one, like, sign in ((a, first, second, 1.0), (b, second, first, -1.0)):
        places = [place for place, kind in enumerate(kinds) if kind is not None and kind == kinds[like]]
        places.sort(key=lambda place: (amounts[place], place))
        near = min(places, key=lambda place: abs(math.log(amounts[place] / amount)), default=like)
        if equal(amounts[near], amount):
            pair = (one, near) if sign > 0 else (near, one)
            found.append((amount, (_direct(*pair, amounts),)))
        elif ways := bounds_at(amount, [amounts[place] for place in places]):
            found.append((amount, tuple(_against(one, way, places, sign, len(amounts)) for way in ways)))
    return tuple(found)


def claim(first: int, second: int, amounts: Sequence[float], kinds: Sequence[Hashable | None]) -> Claim:
    """All amounts at which two designs can be compared, as the claim that is judged."""
    return tuple(bounds for _, bounds in at_equal(first, second, amounts, kinds))


def bounds_at(amount: float, sizes: Sequence[float]) -> tuple[tuple[Weights, ...], ...]:
    """Ways to enclose the error at an amount: whatever lies beyond all bounds of one of the ways is beyond the error.

    None where the amount is outside the sizes, which are amounts in rising order.
    """
    above = next((k for k, size in enumerate(sizes) if size > amount), 0)
    if not above:
        return ()
    low, high = above - 1, above
    chord = _line(amount, sizes, low, high)
    ends = (((low, 1.0),), ((high, 1.0),))
    outer = _next(amount, sizes, low, high)
    return ((*ends, chord), (chord, _line(amount, sizes, *outer))) if outer else (ends,)


def direct(first: int, second: int, count: int, *, slack: float = 0.0) -> Bound:
    """The one design of so many less the other."""
    weights = [0.0] * count
    weights[first], weights[second] = 1.0, -1.0
    return Bound(weights=tuple(weights), slack=slack)


def _direct(first: int, second: int, amounts: Sequence[float]) -> tuple[Bound, ...]:
    ratio = max(amounts[first], amounts[second]) / min(amounts[first], amounts[second])
    return (direct(first, second, len(amounts), slack=ratio - 1),)


def _against(one: int, way: Sequence[Weights], places: Sequence[int], sign: float, count: int) -> tuple[Bound, ...]:
    """A design less each bound on a kind, or each bound less the design where the sign is negative."""
    found = []
    for bound in way:
        weights = [0.0] * count
        weights[one] = sign
        for place, weight in bound:
            weights[places[place]] -= sign * weight
        found.append(Bound(weights=tuple(weights)))
    return tuple(found)


def _next(amount: float, sizes: Sequence[float], low: int, high: int) -> tuple[int, int] | None:
    """The two sizes whose line is extended to the amount: on the side of the nearer size about it."""
    left = (low - 1, low) if low > 0 else None
    right = (high, high + 1) if high + 1 < len(sizes) else None
    return (left if amount / sizes[low] <= sizes[high] / amount else right) if left and right else left or right


def _line(amount: float, sizes: Sequence[float], low: int, high: int) -> Weights:
    """The line through two sizes, over the logarithm of the budget, at an amount inside or outside of them."""
    weight = math.log(amount / sizes[low]) / math.log(sizes[high] / sizes[low])
    return (low, 1 - weight), (high, weight)
