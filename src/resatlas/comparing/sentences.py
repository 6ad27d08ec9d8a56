"""A pair's verdicts as sentences: which design is lower, by how much, with which intervals, at which budget."""

from collections.abc import Iterable, Sequence

from resatlas.comparing.differences import Difference
from resatlas.comparing.measures import Measure
from resatlas.comparing.power import MOST_NETS
from resatlas.comparing.settled import Basis, Judged, Settled, Tested
from resatlas.comparing.words import listed


def sentences(pair: Judged, measure: Measure, *, points: float, margin: float | None = None) -> tuple[str, ...]:
    """One line a verdict; budgets that say the same share it. Then what runs that did not diverge would say."""
    if not pair.verdicts:
        return (f"{pair.first.label} against {pair.second.label}: no verdict; {'; '.join(pair.obstacles)}.",)
    said = [
        _sentence(pair, settled, bases, measure, points=points, margin=margin)
        for settled, bases in _together(pair.verdicts.values())
    ]
    if pair.survivors is not None:
        said.append(_survivors(pair, measure))
    return tuple(said)


def _together(verdicts: Iterable[Settled]) -> list[tuple[Settled, list[Basis]]]:
    """Verdicts with the budgets at which they are the same, of the same differences."""
    found: list[tuple[Settled, list[Basis]]] = []
    for each in verdicts:
        for known, bases in found:
            if known.tested and known.verdict == each.verdict and _same(known.tested, each.tested):
                bases.append(each.basis)
                break
        else:
            found.append((each, [each.basis]))
    return found


def _same(one: Sequence[Tested], other: Sequence[Tested]) -> bool:
    """Whether two budgets compare the same sizes: apart from what the budgets themselves explain."""
    return len(one) == len(other) and all(
        (a.difference.points, a.first, a.second) == (b.difference.points, b.first, b.second)
        for a, b in zip(one, other, strict=True)
    )


def _sentence(
    pair: Judged,
    settled: Settled,
    bases: Sequence[Basis],
    measure: Measure,
    *,
    points: float,
    margin: float | None,
) -> str:
    where = "" if bases == ["sizes"] else f" at equal {listed(bases)}"
    first, second = pair.sides
    noun = measure.noun
    if settled.verdict == "not testable here":
        return f"{pair.first.label} against {pair.second.label}: not testable{where}; {'; '.join(settled.reasons)}."
    shown = min(settled.tested, key=lambda each: abs(each.difference.points))
    by = _by(shown.difference, measure, sign={"supported": -1, "contradicted": 1}.get(settled.verdict, 0))
    p = f"p = {settled.chance:.2g}"
    match settled.verdict:
        case "supported":
            return f"{first} has a lower {noun} than {second}{where}, by {by}: supported ({p})."
        case "contradicted":
            return f"{second} has a lower {noun} than {first}{where}, by {by}: supported ({p})."
        case "depends on the budget":
            lower = [f"{first if each.side < 0 else second} at {each.amount:,.0f}" for each in settled.tested]
            return (
                f"which of {first} and {second} has a lower {noun}{where} depends on the budget: {listed(lower)} ({p})."
            )
        case "equivalent":
            return f"{first} and {second} are equivalent{where}: their {noun}s differ by less than {margin:g}; {by}."
        case "first not inferior":
            return f"{first} is not worse than {second}{where} by {margin:g} or more; the difference is {by}."
        case "second not inferior":
            return f"{second} is not worse than {first}{where} by {margin:g} or more; the difference is {by}."
        case _:
            if settled.remedy:
                return _open(pair, settled, where, measure)
            needed = _needed(settled.tested, points, measure)
            return f"{first} against {second}{where}: undecided; the difference is {by}, {p}; {needed}."


def _open(pair: Judged, settled: Settled, where: str, measure: Measure) -> str:
    """An open verdict of designs that no run compares directly."""
    between = next(each for each in settled.tested if each.bounded)
    sides = ((pair.first, between.first), (pair.second, between.second))
    means = [
        f"{group.label} {measure.written(low)}"
        if low == high
        else f"sizes of {group.row.family} about it {measure.written(low)} to {measure.written(high)}"
        for group, (low, high) in sorted(sides, key=lambda side: side[1][0] < side[1][1])
    ]
    return (
        f"{pair.first.label} against {pair.second.label}{where}: undecided; {' and '.join(means)}; for a direct "
        f"comparison train a design that `{settled.remedy}` finds."
    )


def _by(found: Difference, measure: Measure, *, sign: int) -> str:
    """The difference with both intervals: times the sign, so that it is positive, or with its own where that is 0."""
    factor, plus = (sign, "") if sign else (1, "+")
    intervals = []
    for over, ends in (("seeds", found.interval_seeds), ("seeds and test images", found.interval_images)):
        if ends is not None:
            low, high = sorted(factor * each for each in ends)
            intervals.append(f"{measure.written(low, plus)} to {measure.written(high, plus)} over {over}")
    shown = f"{measure.written(factor * found.points, plus)}{measure.unit}"
    return f"{shown} (95 %: {', '.join(intervals)})" if intervals else f"{shown} (all seeds of a design agree)"


def _needed(tested: Sequence[Tested], points: float, measure: Measure) -> str:
    """How many seeds would settle an open one."""
    nets = [each.difference.nets.nets for each in tested]
    asked = f"{points:g}{measure.unit}"
    if any(each is None for each in nets):
        return f"no number of seeds up to {MOST_NETS:,} detects {asked} here, since the test images are too few"
    return f"{max(each or 0 for each in nets):,} seeds each would detect {asked}"


def _survivors(pair: Judged, measure: Measure) -> str:
    """What is said without the runs that diverged, which are named."""
    lost = [
        f"{group.label} with seed{'s' if len(group.diverged) > 1 else ''} {listed(map(str, group.diverged))}"
        for group in (pair.first, pair.second)
        if group.diverged
    ]
    kept = pair.survivors
    means = " and ".join(
        f"{group.label} {measure.written(group.mean)}" for group in ((kept.first, kept.second) if kept else ())
    )
    verdict = kept.verdict if kept else "not testable here"
    return f"{listed(lost)} diverged and counts as guessing; without: {means}, {verdict}."
