"""A pair's verdicts as sentences: which design is lower, by how much, with which intervals, at which budget."""

from collections.abc import Iterable, Sequence

from resatlas.comparing.compared_pair import Basis, BudgetVerdict, ComparedPair, TestedDifference
from resatlas.comparing.differences import Difference
from resatlas.comparing.measures import Measure
from resatlas.comparing.power import MOST_NETS
from resatlas.values.language import clauses, known, numbered, said, with_and


def verdict_sentences(
    pair: ComparedPair, measure: Measure, *, points: float, margin: float | None = None
) -> tuple[str, ...]:
    """One sentence per verdict; budgets with the same verdict share it. The last one leaves out diverged runs."""
    if not pair.verdicts:
        reasons = said("; ").join(pair.obstacles)
        return (said("{first} against {second}: no verdict; {reasons}.", **_labels(pair), reasons=reasons),)
    sentences = [
        _sentence(pair, verdict, bases, measure, points=points, margin=margin)
        for verdict, bases in _merged(pair.verdicts.values())
    ]
    if pair.survivors is not None:
        sentences.append(_survivors(pair, pair.survivors, measure))
    return tuple(sentences)


def _labels(pair: ComparedPair) -> dict[str, str]:
    return {"first": pair.first.label, "second": pair.second.label}


def _merged(verdicts: Iterable[BudgetVerdict]) -> list[tuple[BudgetVerdict, list[Basis]]]:
    """Each different verdict with the budgets that give it, of the same differences."""
    merged: list[tuple[BudgetVerdict, list[Basis]]] = []
    for verdict in verdicts:
        for earlier, bases in merged:
            if earlier.tested and earlier.verdict == verdict.verdict and _same(earlier.tested, verdict.tested):
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
    where = "" if bases == ["sizes"] else said(" at equal {budgets}", budgets=with_and(map(known, bases)))
    if verdict.verdict == "not testable here":
        reasons = said("; ").join(verdict.reasons)
        return said(
            "{first} against {second}: not testable{where}; {reasons}.", **_labels(pair), where=where, reasons=reasons
        )
    first, second = pair.sides
    smallest = min((tested.difference for tested in verdict.tested), key=lambda difference: abs(difference.points))
    values = {
        "first": first,
        "second": second,
        "noun": measure.noun,
        "where": where,
        "by": difference_in_words(smallest, measure, sign={"supported": -1, "contradicted": 1}.get(verdict.verdict, 0)),
        "p": f"p = {verdict.p:.2g}",
        "limit": f"{margin:g}{measure.unit}" if margin is not None else "",
    }
    match verdict.verdict:
        case "supported" | "contradicted":
            lower, higher = (first, second) if verdict.verdict == "supported" else (second, first)
            return said(
                "{lower} has a lower {noun} than {higher}{where}, by {by}: supported ({p}).",
                lower=lower,
                higher=higher,
                **values,
            )
        case "depends on the budget":
            amounts = with_and(
                said("{lower} at {amount:,.0f}", lower=first if tested.side < 0 else second, amount=tested.amount)
                for tested in verdict.tested
            )
            return said(
                "which of {first} and {second} has the lower {noun}{where} depends on the budget: {amounts} ({p}).",
                amounts=amounts,
                **values,
            )
        case "equivalent":
            return said(
                "{first} and {second} are equivalent{where}: {noun} differs by less than {limit}; difference {by}.",
                **values,
            )
        case "first not inferior" | "second not inferior":
            one, other = (first, second) if verdict.verdict == "first not inferior" else (second, first)
            return said(
                "{one} is not worse than {other}{where} by {limit} or more; the difference is {by}.",
                one=one,
                other=other,
                **values,
            )
        case _:
            if verdict.remedy:
                return _without_direct_comparison(pair, verdict, where, measure)
            return said(
                "{first} against {second}{where}: undecided; the difference is {by}, {p}; {needed}.",
                needed=_seeds_needed(verdict.tested, points, measure),
                **values,
            )


def _without_direct_comparison(pair: ComparedPair, verdict: BudgetVerdict, where: str, measure: Measure) -> str:
    """The sentence of an undecided verdict where only sizes on both sides of the amount bound an error."""
    bounded = next(tested for tested in verdict.tested if tested.bounded)
    sides = ((pair.first, bounded.first), (pair.second, bounded.second))
    means = [
        f"{group.label} {measure.written(low)}"
        if low == high
        else said(
            "smaller and larger sizes of {family} {low} to {high}",
            family=group.row.family,
            low=measure.written(low),
            high=measure.written(high),
        )
        for group, (low, high) in sorted(sides, key=lambda side: side[1][0] < side[1][1])
    ]
    return said(
        "{first} against {second}{where}: undecided; {means}; for a direct comparison train a design that `{command}` "
        "finds.",
        **_labels(pair),
        where=where,
        means=with_and(means),
        command=verdict.remedy,
    )


def difference_in_words(difference: Difference, measure: Measure, *, sign: int) -> str:
    """The difference with both intervals, multiplied by the sign; with a + or - of its own where the sign is 0."""
    factor, plus = (sign, "") if sign else (1, "+")
    by = f"{measure.written(factor * difference.points, plus)}{measure.unit}"
    intervals = []
    if ends := difference.interval_seeds:
        intervals.append(said("{interval} over seeds", interval=_interval(ends, measure, factor, plus)))
    if ends := difference.interval_images:
        intervals.append(said("{interval} over seeds and test images", interval=_interval(ends, measure, factor, plus)))
    if not intervals:
        return said("{difference} (all seeds of a design agree)", difference=by)
    return said("{difference} (95 %: {intervals})", difference=by, intervals=clauses(intervals))


def _interval(ends: tuple[float, float], measure: Measure, factor: int, plus: str) -> str:
    low, high = sorted(factor * end for end in ends)
    return said("{low} to {high}", low=measure.written(low, plus), high=measure.written(high, plus))


def _seeds_needed(tested: Sequence[TestedDifference], points: float, measure: Measure) -> str:
    """The number of seeds that would detect the difference in `points`."""
    counts = [at_amount.difference.nets.nets for at_amount in tested]
    target = f"{points:g}{measure.unit}"
    if any(count is None for count in counts):
        return said(
            "no number of seeds up to {most:,} detects {target} here, because there are too few test images",
            most=MOST_NETS,
            target=target,
        )
    most = max(count or 0 for count in counts)
    return said("{seeds:,} seeds each would detect {target}", seeds=most, target=target)


def _survivors(pair: ComparedPair, survivors: ComparedPair, measure: Measure) -> str:
    """The names of the diverged runs, and the verdict without them."""
    diverged = [
        numbered(
            len(group.diverged),
            "{design} with seed {seeds}",
            "{design} with seeds {seeds}",
            design=group.label,
            seeds=with_and(map(str, group.diverged)),
        )
        for group in (pair.first, pair.second)
        if group.diverged
    ]
    means = with_and(f"{group.label} {measure.written(group.mean)}" for group in (survivors.first, survivors.second))
    return said(
        "{diverged} diverged (counted at chance level); without diverged runs: {means}, {verdict}.",
        diverged=with_and(diverged),
        means=means,
        verdict=known(survivors.verdict),
    )
