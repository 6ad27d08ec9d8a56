"""A pair's verdicts as sentences: which design is lower, by how much, with which intervals, at which budget."""

from collections.abc import Iterable, Sequence

from resatlas.comparing.compared_pair import Basis, BudgetVerdict, ComparedPair, TestedDifference
from resatlas.comparing.differences import Difference
from resatlas.comparing.measures import Measure
from resatlas.comparing.power import MOST_NETS
from resatlas.comparing.words import with_and


def verdict_sentences(
    pair: ComparedPair, measure: Measure, *, points: float, margin: float | None = None
) -> tuple[str, ...]:
    """One sentence per verdict; budgets with the same verdict share it. The last one leaves out diverged runs."""
    if not pair.verdicts:
        return (f"{pair.first.label} against {pair.second.label}: no verdict; {'; '.join(pair.obstacles)}.",)
    sentences = [
        _sentence(pair, verdict, bases, measure, points=points, margin=margin)
        for verdict, bases in _merged(pair.verdicts.values())
    ]
    if pair.survivors is not None:
        sentences.append(_survivors(pair, pair.survivors, measure))
    return tuple(sentences)


def _merged(verdicts: Iterable[BudgetVerdict]) -> list[tuple[BudgetVerdict, list[Basis]]]:
    """Each different verdict with the budgets that give it, of the same differences."""
    merged: list[tuple[BudgetVerdict, list[Basis]]] = []
    for verdict in verdicts:
        for known, bases in merged:
            if known.tested and known.verdict == verdict.verdict and _same(known.tested, verdict.tested):
                bases.append(verdict.basis)
                break
        else:
            merged.append((verdict, [verdict.basis]))
    return merged


def _same(one: Sequence[TestedDifference], other: Sequence[TestedDifference]) -> bool:
    """Whether two budgets compare the same sizes; the slack of the budgets may differ."""
    return len(one) == len(other) and all(
        (a.difference.points, a.first, a.second) == (b.difference.points, b.first, b.second)
        for a, b in zip(one, other, strict=True)
    )


def _sentence(
    pair: ComparedPair,
    verdict: BudgetVerdict,
    bases: Sequence[Basis],
    measure: Measure,
    *,
    points: float,
    margin: float | None,
) -> str:
    where = "" if bases == ["sizes"] else f" at equal {with_and(bases)}"
    first, second = pair.sides
    noun = measure.noun
    if verdict.verdict == "not testable here":
        return f"{pair.first.label} against {pair.second.label}: not testable{where}; {'; '.join(verdict.reasons)}."
    smallest = min((tested.difference for tested in verdict.tested), key=lambda difference: abs(difference.points))
    by = difference_in_words(smallest, measure, sign={"supported": -1, "contradicted": 1}.get(verdict.verdict, 0))
    p, limit = f"p = {verdict.p:.2g}", f"{margin:g}{measure.unit}" if margin is not None else ""
    match verdict.verdict:
        case "supported":
            return f"{first} has a lower {noun} than {second}{where}, by {by}: supported ({p})."
        case "contradicted":
            return f"{second} has a lower {noun} than {first}{where}, by {by}: supported ({p})."
        case "depends on the budget":
            lower = [f"{first if tested.side < 0 else second} at {tested.amount:,.0f}" for tested in verdict.tested]
            return (
                f"which of {first} and {second} has the lower {noun}{where} depends on the budget: {with_and(lower)} "
                f"({p})."
            )
        case "equivalent":
            return f"{first} and {second} are equivalent{where}: {noun} differs by less than {limit}; difference {by}."
        case "first not inferior":
            return f"{first} is not worse than {second}{where} by {limit} or more; the difference is {by}."
        case "second not inferior":
            return f"{second} is not worse than {first}{where} by {limit} or more; the difference is {by}."
        case _:
            if verdict.remedy:
                return _without_direct_comparison(pair, verdict, where, measure)
            needed = _seeds_needed(verdict.tested, points, measure)
            return f"{first} against {second}{where}: undecided; the difference is {by}, {p}; {needed}."


def _without_direct_comparison(pair: ComparedPair, verdict: BudgetVerdict, where: str, measure: Measure) -> str:
    """The sentence of an undecided verdict where only sizes on both sides of the amount bound an error."""
    bounded = next(tested for tested in verdict.tested if tested.bounded)
    sides = ((pair.first, bounded.first), (pair.second, bounded.second))
    means = [
        f"{group.label} {measure.written(low)}"
        if low == high
        else f"smaller and larger sizes of {group.row.family} {measure.written(low)} to {measure.written(high)}"
        for group, (low, high) in sorted(sides, key=lambda side: side[1][0] < side[1][1])
    ]
    return (
        f"{pair.first.label} against {pair.second.label}{where}: undecided; {' and '.join(means)}; for a direct "
        f"comparison train a design that `{verdict.remedy}` finds."
    )


def difference_in_words(difference: Difference, measure: Measure, *, sign: int) -> str:
    """The difference with both intervals, multiplied by the sign; with a + or - of its own where the sign is 0."""
    factor, plus = (sign, "") if sign else (1, "+")
    intervals = []
    for over, ends in (("seeds", difference.interval_seeds), ("seeds and test images", difference.interval_images)):
        if ends is not None:
            low, high = sorted(factor * end for end in ends)
            intervals.append(f"{measure.written(low, plus)} to {measure.written(high, plus)} over {over}")
    shown = f"{measure.written(factor * difference.points, plus)}{measure.unit}"
    return f"{shown} (95 %: {', '.join(intervals)})" if intervals else f"{shown} (all seeds of a design agree)"


def _seeds_needed(tested: Sequence[TestedDifference], points: float, measure: Measure) -> str:
    """The number of seeds that would detect the difference in `points`."""
    counts = [at_amount.difference.nets.nets for at_amount in tested]
    target = f"{points:g}{measure.unit}"
    if any(count is None for count in counts):
        return f"no number of seeds up to {MOST_NETS:,} detects {target} here, because there are too few test images"
    return f"{max(count or 0 for count in counts):,} seeds each would detect {target}"


def _survivors(pair: ComparedPair, survivors: ComparedPair, measure: Measure) -> str:
    """The names of the diverged runs, and the verdict without them."""
    diverged = [
        f"{group.label} with seed{'s' if len(group.diverged) > 1 else ''} {with_and(map(str, group.diverged))}"
        for group in (pair.first, pair.second)
        if group.diverged
    ]
    means = " and ".join(
        f"{group.label} {measure.written(group.mean)}" for group in (survivors.first, survivors.second)
    )
    return (
        f"{with_and(diverged)} diverged (counted at chance level); without diverged runs: {means}, {survivors.verdict}."
    )
