"""A comparison as a document: verdicts, results, differences, differences at equal budgets, and notes."""

import math
from collections.abc import Iterator, Sequence
from statistics import stdev

from resatlas.comparing.budgets import amount_in_words
from resatlas.comparing.compared_pair import ComparedPair, RobustTest, TestedDifference, single_nets
from resatlas.comparing.comparison import Comparison
from resatlas.comparing.differences import Difference
from resatlas.comparing.measures import Measure
from resatlas.comparing.power import MOST_NETS
from resatlas.comparing.questions import Group
from resatlas.comparing.robust_tests import LEAST_NETWORKS
from resatlas.comparing.seconds import seconds_in_words
from resatlas.comparing.sentences import verdict_sentences
from resatlas.comparing.statistics import CLAIM_LEVEL, LEAST_PAIRS, PAIRING_LEVEL, mean_interval
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.language import known, said, with_and
from resatlas.values.table import Cell, Column, Table, numbers, words

_MOST_PAIRS_SHOWN = 20
"""Rows in the table of pairs of networks; the JSON output has all pairs."""

NAMES = {"rank sum": "Wilcoxon rank-sum test", "bootstrap": "bootstrap t test"}
"""Tests that need no normal distribution, as tables name them."""


def document(comparisons: Sequence[Comparison]) -> tuple[Block, ...]:
    """All comparisons, one after the other."""
    return tuple(block for comparison in comparisons for block in _blocks(comparison))


def _blocks(comparison: Comparison) -> Iterator[Block]:
    measure = comparison.question.measure
    yield Heading(
        said(
            "{title}: {noun} on {data}",
            title=known(comparison.question.title),
            noun=measure.noun,
            data=comparison.question.data,
        )
    )
    yield _verdicts(comparison)
    if comparison.warnings:
        yield Bullets(said("Warnings"), comparison.warnings)
    yield _results(comparison)
    if any(pair.trained for pair in comparison.pairs):
        yield _differences(comparison)
        yield _robust_tests(comparison)
    if any(pair.tested for pair in comparison.pairs):
        yield _budget_differences(comparison)
    yield from _network_pairs(comparison)
    yield from _published(comparison)
    yield Bullets(said("Notes"), comparison.notes)


def _verdicts(comparison: Comparison) -> Bullets:
    """The global test, then a line per pair and budget; designs with one seed share a line."""
    lines = [overall] if (overall := global_test_sentence(comparison)) else []
    for pair in comparison.pairs:
        if not single_nets(pair):
            lines += verdict_sentences(
                pair, comparison.question.measure, points=comparison.points, margin=comparison.margin
            )
    single = dict.fromkeys(group.label for pair in comparison.pairs for group in single_nets(pair))
    if single:
        lines.append(said("one seed only, so no verdict: {designs}.", designs=with_and(single)))
    return Bullets(said("Verdicts"), tuple(lines))


def global_test_sentence(comparison: Comparison) -> str:
    """The result of the global test in a sentence; empty for fewer than three designs with several seeds."""
    tested = [group for group in comparison.question.groups if len(group.values) > 1]
    if comparison.global_p is None or len(tested) < 3:
        return ""
    values = {"count": len(tested), "noun": comparison.question.measure.noun, "p": comparison.global_p}
    if comparison.global_p <= CLAIM_LEVEL:
        return said("the {count} designs differ in {noun} (global F test, p = {p:.2g}).", **values)
    return said(
        "no significant difference in {noun} between the {count} designs (global F test, p = {p:.2g}).", **values
    )


def _results(comparison: Comparison) -> Table:
    """Results and costs of each design."""
    measure = comparison.question.measure
    mean = Column(measure.noun, "%" if measure.metric == "test_error" else measure.unit.strip() or "1")
    rest = numbers("standard deviation", "95 % interval of the mean", "parameters", "multiply-adds", "seconds")
    groups = comparison.question.groups
    named = any(group.label != group.row.design for group in groups)
    names = [(group.label, group.row.design) if named else (group.row.design,) for group in groups]
    return Table(
        title=said(
            "{noun}, one observation per seed; {images:,} test images",
            noun=measure.noun.capitalize(),
            images=comparison.question.images,
        ),
        columns=(*words(*(("name", "design") if named else ("design",))), *numbers("seeds"), mean, *rest),
        rows=tuple((*name, *_result(group, measure)) for name, group in zip(names, groups, strict=True)),
    )


def _result(group: Group, measure: Measure) -> tuple[Cell, ...]:
    ends = mean_interval(group.values, most=100.0 if measure.metric == "test_error" else math.inf)
    return (
        len(group.values),
        measure.written(group.mean),
        None if len(group.values) < 2 else measure.written(stdev(group.values)),
        _interval(ends, measure),
        group.row.parameters,
        group.row.multiply_adds,
        seconds_in_words(group),
    )


def _differences(comparison: Comparison) -> Table:
    """The differences of all pairs, whatever the designs cost."""
    caption = said(
        "Differences regardless of cost, first minus second. p: corrected by Holm over all rows, the larger of p over "
        "seeds and p over seeds and test images. r: correlation over shared seeds; seeds are paired from {pairs} "
        "shared seeds on if r is above 0 (one-sided p < {level:g}). {power}",
        pairs=LEAST_PAIRS,
        level=PAIRING_LEVEL,
        power=_power_caption(comparison),
    )
    figures = numbers(*_difference_head(), "p, Holm", "test", "r", *_power_head(comparison))
    measure = comparison.question.measure
    rows = [
        (
            *(pair.first.label, pair.second.label, *_difference(pair.trained, measure)),
            *(_p_value(pair.trained.p_holm), known(pair.trained.method)),
            None if pair.correlation is None else f"{pair.correlation:+.2f}",
            *_power(pair.trained, measure),
        )
        for pair in comparison.pairs
        if pair.trained
    ]
    return Table(title=caption, columns=(*words("first", "second"), *figures), rows=tuple(rows))


def _difference_head() -> tuple[str, ...]:
    return ("difference", "95 % over seeds", "over seeds and images")


def _difference(difference: Difference, measure: Measure) -> tuple[Cell, ...]:
    intervals = (difference.interval_seeds, difference.interval_images)
    return (measure.written(difference.points, "+"), *(_interval(ends, measure, sign="+") for ends in intervals))


def _power_caption(comparison: Comparison) -> str:
    measure = comparison.question.measure
    return said(
        "Smallest detectable: the smallest difference detected with 80 % power by both intervals at the level of "
        "Holm's first step. Seeds needed: seeds per design to detect {points:g}{unit} in the same way. In brackets: "
        "both values at the ends of the 95 % interval of the standard deviation.",
        points=comparison.points,
        unit=measure.unit,
    )


def _power_head(comparison: Comparison) -> tuple[str, str]:
    return "smallest detectable", said("seeds needed for {points:g}", points=comparison.points)


def _power(difference: Difference, measure: Measure) -> tuple[str, str]:
    least, seeds = difference.detectable, difference.nets
    points = f"{measure.written(least.points)} ({_interval((least.low, least.high), measure)})" if least else "–"
    ends = said("{low} to {high}", low=_count(seeds.low), high=_count(seeds.high))
    return points, f"{_count(seeds.nets)} ({ends})"


def _robust_tests(comparison: Comparison) -> Block:
    """Tests that need no normal distribution: a table, or a sentence if all have too few seeds."""
    caption = said(
        "Tests that need no normal distribution; p is not corrected. They need {least} seeds per design; with fewer, "
        "only the smallest possible p is shown",
        least=LEAST_NETWORKS,
    )
    pairs = [pair for pair in comparison.pairs if pair.trained]
    if not any(opinion.p is not None for pair in pairs for opinion in pair.robust_tests):
        least = {(len(pair.first.values), len(pair.second.values)): pair.robust_tests for pair in pairs}
        values = (
            said(
                "{first} and {second} seeds {least}",
                first=n,
                second=m,
                least=with_and(f"{test.least:.2g} ({known(NAMES[test.name])})" for test in tests),
            )
            for (n, m), tests in least.items()
        )
        return Paragraph(said("{caption}: {values}.", caption=caption, values=said("; ").join(values)))
    rows = [(pair.first.label, pair.second.label, *map(_robust_p, pair.robust_tests)) for pair in pairs]
    columns = (*words("first", "second"), *numbers(*NAMES.values()))
    return Table(title=said("{caption}.", caption=caption), columns=columns, rows=tuple(rows))


def _robust_p(test: RobustTest) -> str:
    return said("– (smallest possible {least:.2g})", least=test.least) if test.p is None else _p_value(test.p)


def _budget_differences(comparison: Comparison) -> Table:
    """The differences of all pairs at equal budgets."""
    caption = said(
        "Differences at equal budgets, first minus second. Budgets within 10 % are compared directly; the intervals "
        "include the effect of their difference. Otherwise a design is compared with a smaller and a larger size of "
        "the other design, whose errors bound its error at this budget; no curve is fitted. {power}",
        power=_power_caption(comparison),
    )
    figures = numbers("first", "second", *_difference_head(), "p", *_power_head(comparison))
    measure = comparison.question.measure
    rows = (row for pair in comparison.pairs for row in _budget_rows(pair, measure))
    return Table(title=caption, columns=(*words("first", "second", "at equal"), *figures), rows=tuple(rows))


def _budget_rows(pair: ComparedPair, measure: Measure) -> Iterator[tuple[Cell, ...]]:
    """A row for each difference; budgets with the same difference share a row."""
    rows: dict[tuple[object, ...], tuple[list[str], TestedDifference]] = {}
    for settled in pair.verdicts.values():
        for tested in settled.tested:
            amount = said("any budget") if settled.basis == "sizes" else amount_in_words(settled.basis, tested.amount)
            key = (tested.difference.points, tested.first, tested.second)
            rows.setdefault(key, ([], tested))[0].append(amount)
    for amounts, tested in rows.values():
        yield (
            *(pair.first.label, pair.second.label, said(", ").join(amounts)),
            *(_bounds(ends, measure) for ends in (tested.first, tested.second)),
            *_difference(tested.difference, measure),
            *(_p_value(tested.difference.p), *_power(tested.difference, measure)),
        )


def _bounds(ends: tuple[float, float], measure: Measure) -> str:
    low, high = (measure.written(end) for end in ends)
    return low if low == high else said("{low} to {high}", low=low, high=high)


def _network_pairs(comparison: Comparison) -> Iterator[Block]:
    """McNemar's test of pairs of networks."""
    if comparison.nets:
        caption = said(
            "Pairs of networks (exact McNemar test, p not corrected): whether two networks misclassify different "
            "numbers of these images. This says nothing about their designs, since other seeds give other networks. "
            "It is not pooled over seeds."
        )
        rows = [
            (
                f"{pair.first.label} s{pair.seeds[0]}",
                f"{pair.second.label} s{pair.seeds[1]}",
                *(pair.first_alone, pair.second_alone, _p_value(pair.p)),
            )
            for pair in comparison.nets[:_MOST_PAIRS_SHOWN]
        ]
        columns = (*words("first", "second"), *numbers("only first wrong", "only second wrong", "p"))
        yield Table(title=caption, columns=columns, rows=tuple(rows))
        more = len(comparison.nets) - _MOST_PAIRS_SHOWN
        if more > 0:
            yield Paragraph(said("{count:,} more pairs of networks: resatlas compare --json", count=more))


def _published(comparison: Comparison) -> Iterator[Block]:
    rows = [
        (label, f"{ours.row.test_error_percent.mean:.2f}", str(figure), figure.protocol, figure.source)
        for label, figures in comparison.published.items()
        for ours in comparison.question.groups
        if ours.label == label
        for figure in figures
    ]
    if rows:
        caption = said("Published test errors in percent, from other trainings; only some papers print a spread")
        yield Table(title=caption, columns=words("design", "ours", "published", "protocol", "source"), rows=tuple(rows))


def _interval(ends: tuple[float, float] | None, measure: Measure, *, sign: str = "") -> str | None:
    if ends is None:
        return None
    return said("{low} to {high}", low=measure.written(ends[0], sign), high=measure.written(ends[1], sign))


def _p_value(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _count(seeds: int | None) -> str:
    return f">{MOST_NETS:,}" if seeds is None else f"{seeds:,}"
