"""An answered question as a document: verdicts, figures, differences, equal budgets, and what limits them."""

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
from resatlas.comparing.words import with_and
from resatlas.page.document import Block, Bullets, Heading, Paragraph
from resatlas.values.table import Cell, Column, Table, numbers, words

MOST_NETS_SHOWN = 20
"""Rows of nets against nets; the JSON has all."""

NAMES = {"rank sum": "Wilcoxon's rank sum", "bootstrap": "bootstrap of t"}


def document(answers: Sequence[Comparison]) -> tuple[Block, ...]:
    """All questions, one after the other."""
    return tuple(block for each in answers for block in _blocks(each))


def _blocks(answered: Comparison) -> Iterator[Block]:
    measure = answered.question.measure
    yield Heading(f"{answered.question.title}: {measure.noun} on {answered.question.data}")
    yield _verdicts(answered)
    if answered.warnings:
        yield Bullets("Warnings", answered.warnings)
    yield _figures(answered)
    if any(pair.trained for pair in answered.pairs):
        yield _as_trained(answered)
        yield _opinions(answered)
    if any(pair.tested for pair in answered.pairs):
        yield _at_equal_budgets(answered)
    yield from _net_by_net(answered)
    yield from _published(answered)
    yield Bullets("Notes", answered.notes)


def _verdicts(answered: Comparison) -> Bullets:
    """The test of all designs at once, then a line a pair and budget; pairs with a single seed share one."""
    said = [overall] if (overall := all_at_once(answered)) else []
    for pair in answered.pairs:
        if not single_nets(pair):
            said += verdict_sentences(pair, answered.question.measure, points=answered.points, margin=answered.margin)
    single = dict.fromkeys(group.label for pair in answered.pairs for group in single_nets(pair))
    if single:
        said.append(f"one seed only, so no verdict: {with_and(single)}.")
    return Bullets("Verdicts", tuple(said))


def all_at_once(answered: Comparison) -> str:
    """The sentence of the global test; nothing where it is that of the only pair."""
    known = [group for group in answered.question.groups if len(group.values) > 1]
    if answered.global_p is None or len(known) < 3:
        return ""
    noun, how = answered.question.measure.noun, f"global F test, p = {answered.global_p:.2g}"
    if answered.global_p <= CLAIM_LEVEL:
        return f"the {len(known)} designs differ in {noun} ({how})."
    return f"no difference in {noun} between the {len(known)} designs beyond chance ({how})."


def _figures(answered: Comparison) -> Table:
    measure = answered.question.measure
    mean = Column(measure.noun, "%" if measure.metric == "test_error" else measure.unit.strip() or "1")
    rest = numbers("deviation", "95 % of the mean", "parameters", "multiply-adds", "seconds")
    groups = answered.question.groups
    named = any(group.label != group.row.design for group in groups)
    names = [(group.label, group.row.design) if named else (group.row.design,) for group in groups]
    return Table(
        title=f"{measure.noun.capitalize()}, each seed one observation; {answered.question.images:,} test images",
        columns=(*words(*(("name", "design") if named else ("design",))), *numbers("seeds"), mean, *rest),
        rows=tuple((*name, *_figure(group, measure)) for name, group in zip(names, groups, strict=True)),
    )


def _figure(group: Group, measure: Measure) -> tuple[Cell, ...]:
    ends = mean_interval(group.values, most=100.0 if measure.metric == "test_error" else math.inf)
    return (
        len(group.values),
        measure.written(group.mean),
        None if len(group.values) < 2 else measure.written(stdev(group.values)),
        _from_to(ends, measure),
        group.row.parameters,
        group.row.multiply_adds,
        seconds_in_words(group),
    )


def _as_trained(answered: Comparison) -> Table:
    caption = (
        "Differences as trained, first less second. p by Holm over all rows, the larger of that over seeds and that "
        f"over seeds and test images; r: correlation over shared seeds, which pairs them from {LEAST_PAIRS} seeds on "
        f"where it is above 0 (one-sided p < {PAIRING_LEVEL:g}). {_planning(answered)}"
    )
    figures = numbers(*_difference_head(), "p, Holm", "by", "r", *_power_head(answered))
    measure = answered.question.measure
    rows = [
        (
            *(pair.first.label, pair.second.label, *_difference(pair.trained, measure)),
            *(_chance(pair.trained.p_holm), pair.trained.method),
            None if pair.correlation is None else f"{pair.correlation:+.2f}",
            *_power(pair.trained, measure),
        )
        for pair in answered.pairs
        if pair.trained
    ]
    return Table(title=caption, columns=(*words("first", "second"), *figures), rows=tuple(rows))


def _difference_head() -> tuple[str, ...]:
    return ("difference", "95 % over seeds", "over seeds and images")


def _difference(found: Difference, measure: Measure) -> tuple[Cell, ...]:
    ends = (found.interval_seeds, found.interval_images)
    return (measure.written(found.points, "+"), *(_from_to(each, measure, sign="+") for each in ends))


def _planning(answered: Comparison) -> str:
    measure = answered.question.measure
    return (
        "Smallest detectable difference: at 80 % power, both intervals, the level of Holm's first step; seeds needed: "
        f"seeds a design to detect {answered.points:g}{measure.unit} likewise. In brackets: the same for the 95 % "
        "interval of the deviation."
    )


def _power_head(answered: Comparison) -> tuple[str, str]:
    return "smallest detectable", f"seeds needed for {answered.points:g}"


def _power(found: Difference, measure: Measure) -> tuple[str, str]:
    seen, nets = found.detectable, found.nets
    points = f"{measure.written(seen.points)} ({_from_to((seen.low, seen.high), measure)})" if seen else "–"
    return points, f"{_count(nets.nets)} ({_count(nets.low)} to {_count(nets.high)})"


def _opinions(answered: Comparison) -> Block:
    caption = (
        f"Without the normal distribution: p, unadjusted. With fewer than {LEAST_NETWORKS} seeds a design these tests "
        "give only the least p that they could ever give"
    )
    judged = [pair for pair in answered.pairs if pair.trained]
    if not any(opinion.p is not None for pair in judged for opinion in pair.robust_tests):
        least = {(len(pair.first.values), len(pair.second.values)): pair.robust_tests for pair in judged}
        told = (
            f"{n} and {m} seeds {' and '.join(f'{each.least:.2g} ({NAMES[each.name]})' for each in opinions)}"
            for (n, m), opinions in least.items()
        )
        return Paragraph(f"{caption}: {'; '.join(told)}.")
    rows = [(pair.first.label, pair.second.label, *map(_opinion, pair.robust_tests)) for pair in judged]
    columns = (*words("first", "second"), *numbers(*NAMES.values()))
    return Table(title=f"{caption}.", columns=columns, rows=tuple(rows))


def _opinion(opinion: RobustTest) -> str:
    return f"none (least {opinion.least:.2g})" if opinion.p is None else _chance(opinion.p)


def _at_equal_budgets(answered: Comparison) -> Table:
    caption = (
        "Differences at equal budgets, first less second. Budgets within 10 % are compared directly, with what their "
        "difference may explain in the intervals; else a design is compared with sizes of the other's kind that bound "
        f"its error at this budget, without a fitted curve. {_planning(answered)}"
    )
    figures = numbers("first", "second", *_difference_head(), "p", *_power_head(answered))
    measure = answered.question.measure
    rows = (row for pair in answered.pairs for row in _equally(pair, measure))
    return Table(title=caption, columns=(*words("first", "second", "at equal"), *figures), rows=tuple(rows))


def _equally(pair: ComparedPair, measure: Measure) -> Iterator[tuple[Cell, ...]]:
    """A row for each difference; where both budgets give the same one, it stands once."""
    shown: dict[tuple[object, ...], tuple[list[str], TestedDifference]] = {}
    for settled in pair.verdicts.values():
        for each in settled.tested:
            at = "sizes as they are" if settled.basis == "sizes" else amount_in_words(settled.basis, each.amount)
            key = (each.difference.points, each.first, each.second)
            shown.setdefault(key, ([], each))[0].append(at)
    for amounts, each in shown.values():
        yield (
            *(pair.first.label, pair.second.label, ", ".join(amounts)),
            *(_bounds(ends, measure) for ends in (each.first, each.second)),
            *_difference(each.difference, measure),
            *(_chance(each.difference.p), *_power(each.difference, measure)),
        )


def _bounds(ends: tuple[float, float], measure: Measure) -> str:
    low, high = (measure.written(each) for each in ends)
    return low if low == high else f"{low} to {high}"


def _net_by_net(answered: Comparison) -> Iterator[Block]:
    if answered.nets:
        caption = (
            "Net against net (McNemar, exact, unadjusted): whether two nets err on different numbers of these images. "
            "It says nothing of their designs, whose other nets would differ, and is not pooled over seeds."
        )
        rows = [
            (
                f"{each.first.label} s{each.seeds[0]}",
                f"{each.second.label} s{each.seeds[1]}",
                *(each.first_alone, each.second_alone, _chance(each.p)),
            )
            for each in answered.nets[:MOST_NETS_SHOWN]
        ]
        columns = (*words("net", "other net"), *numbers("only the net", "only the other", "p"))
        yield Table(title=caption, columns=columns, rows=tuple(rows))
        more = len(answered.nets) - MOST_NETS_SHOWN
        if more > 0:
            yield Paragraph(f"{more:,} more of nets against nets: --json")


def _published(answered: Comparison) -> Iterator[Block]:
    rows = [
        (label, f"{ours.row.test_error_percent.mean:.2f}", str(each), each.protocol, each.source)
        for label, figures in answered.published.items()
        for ours in answered.question.groups
        if ours.label == label
        for each in figures
    ]
    if rows:
        caption = "As published, in percent, by another training: no interval is known but a spread that was printed"
        yield Table(title=caption, columns=words("design", "ours", "published", "protocol", "source"), rows=tuple(rows))


def _from_to(ends: tuple[float, float] | None, measure: Measure, *, sign: str = "") -> str | None:
    return None if ends is None else f"{measure.written(ends[0], sign)} to {measure.written(ends[1], sign)}"


def _chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _count(nets: int | None) -> str:
    return f">{MOST_NETS:,}" if nets is None else f"{nets:,}"
