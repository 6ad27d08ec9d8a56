"""An answered question as a document: figures, differences, equal budgets, verdicts, and what limits them."""

from collections.abc import Iterator, Sequence

from resatlas.reporting.answering import Answered
from resatlas.reporting.budgets import amount_in_words
from resatlas.reporting.document import Block, Bullets, Heading, Paragraph, Sheet
from resatlas.reporting.judging import Difference, Judged, SecondOpinion, single_nets
from resatlas.reporting.power import MOST_NETS
from resatlas.reporting.questions import Group
from resatlas.reporting.second_opinions import RANKS
from resatlas.reporting.seconds import in_words
from resatlas.reporting.statistics import PAIRING_LEVEL, PAIRS, mean_interval
from resatlas.reporting.words import listed

MOST_NETS_SHOWN = 20
"""Rows of nets against nets; the JSON has all."""

NAMES = {"rank sum": "Wilcoxon's rank sum", "bootstrap": "bootstrap of t"}


def document(answers: Sequence[Answered]) -> tuple[Block, ...]:
    """All questions, one after the other."""
    return tuple(block for each in answers for block in _blocks(each))


def _blocks(answered: Answered) -> Iterator[Block]:
    yield Heading(f"{answered.question.title}: test error on {answered.question.data}")
    if answered.warnings:
        yield Bullets("Warnings", answered.warnings)
    yield _figures(answered)
    if any(pair.trained for pair in answered.pairs):
        yield _as_trained(answered)
        yield _opinions(answered)
    if any(pair.tested for pair in answered.pairs):
        yield _at_equal_budgets(answered)
    yield _verdicts(answered)
    yield from _net_by_net(answered)
    yield from _published(answered)
    yield Bullets("Notes", answered.notes)


def _figures(answered: Answered) -> Sheet:
    head = ("nets", "error, %", "deviation", "95 % of the mean", "parameters", "multiply-adds", "seconds")
    groups = answered.question.groups
    named = any(group.label != group.row.design for group in groups)
    names = [(group.label, group.row.design) if named else (group.row.design,) for group in groups]
    return Sheet(
        f"Test error in percent of {answered.question.images:,} images; each net is one observation",
        (*(("name", "design") if named else ("design",)), *head),
        tuple((*name, *_figure(group)) for name, group in zip(names, groups, strict=True)),
        words=len(names[0]),
    )


def _figure(group: Group) -> tuple[str, ...]:
    sample, known = group.row.test_error_percent, mean_interval(group.errors)
    return (
        f"{len(group.seeds)}",
        f"{sample.mean:.2f}",
        "–" if sample.deviation is None else f"{sample.deviation:.2f}",
        _from_to(*known) if known else "–",
        f"{group.row.parameters:,}",
        f"{group.row.multiply_adds:,}",
        in_words(group),
    )


def _as_trained(answered: Answered) -> Sheet:
    caption = (
        "Differences as trained, first less second, in points. p by Holm over all rows; r is the correlation over "
        f"shared seeds, which pairs them from {PAIRS} seeds on where it is above 0 (one-sided p < {PAIRING_LEVEL:g}). "
        f"{_planning(answered)}"
    )
    head = ("first", "second", "difference", "95 % interval", "p", "p, Holm", "by", "r", *_could(answered))
    rows = [_trained(pair, pair.trained) for pair in answered.pairs if pair.trained]
    return Sheet(caption, head, tuple(rows), words=2)


def _trained(pair: Judged, found: Difference) -> tuple[str, ...]:
    r = "–" if pair.correlation is None else f"{pair.correlation:+.2f}"
    return (
        *(pair.first.label, pair.second.label, f"{found.points:+.2f}", _from_to(found.low, found.high, sign="+")),
        *(_chance(found.chance), _chance(found.adjusted), found.method, r, *_seen(found)),
    )


def _planning(answered: Answered) -> str:
    return (
        "Could see: the smallest difference that these nets see with a chance of 80 %, at the level of Holm's first "
        f"step; nets for {answered.points:g}: nets a design that see so many points likewise. In brackets: "
        "the same for the 95 % interval of the deviation."
    )


def _could(answered: Answered) -> tuple[str, str]:
    return "could see", f"nets for {answered.points:g}"


def _seen(found: Difference) -> tuple[str, str]:
    seen, nets = found.visible, found.nets
    return (
        f"{_digits(seen.points)} ({_digits(seen.low)} to {_digits(seen.high)})",
        f"{_count(nets.nets)} ({_count(nets.low)} to {_count(nets.high)})",
    )


def _opinions(answered: Answered) -> Block:
    caption = (
        f"Without the normal distribution: p, unadjusted. Of fewer than {RANKS} nets a design these tests give no "
        "verdict, but only the least p that they could ever give"
    )
    judged = [pair for pair in answered.pairs if pair.trained]
    if not any(opinion.chance is not None for pair in judged for opinion in pair.opinions):
        least = {(len(pair.first.seeds), len(pair.second.seeds)): pair.opinions for pair in judged}
        told = (
            f"{n} and {m} nets {' and '.join(f'{each.least:.2g} ({NAMES[each.name]})' for each in opinions)}"
            for (n, m), opinions in least.items()
        )
        return Paragraph(f"{caption}: of {'; '.join(told)}.")
    rows = [(pair.first.label, pair.second.label, *map(_opinion, pair.opinions)) for pair in judged]
    return Sheet(f"{caption}.", ("first", "second", *NAMES.values()), tuple(rows), words=2)


def _opinion(opinion: SecondOpinion) -> str:
    return f"none (least {opinion.least:.2g})" if opinion.chance is None else _chance(opinion.chance)


def _at_equal_budgets(answered: Answered) -> Sheet:
    caption = (
        "Differences at equal budgets, first less second, in points. Budgets within 10 % count as equal; else the "
        "error between two sizes of a kind is taken to be linear in the logarithm of the budget, and these rows are "
        "the curves that are compared. "
        f"{_planning(answered)}"
    )
    head = ("first", "second", "at equal", "first, %", "second, %", "difference", "95 % interval", "p")
    head = (*head, *_could(answered))
    return Sheet(caption, head, tuple(row for pair in answered.pairs for row in _equally(pair)), words=3)


def _equally(pair: Judged) -> Iterator[tuple[str, ...]]:
    """A row for each difference; where several budgets give the same one, it stands once."""
    for terms in dict.fromkeys(tested.contrast.terms for tested in pair.tested):
        same = [tested for tested in pair.tested if tested.contrast.terms == terms]
        found = same[0].difference
        yield (
            *(pair.first.label, pair.second.label),
            ", ".join(amount_in_words(each.contrast.budget, each.contrast.amount) for each in same),
            *(f"{percent:.2f}" for percent in same[0].errors_percent),
            *(f"{found.points:+.2f}", _from_to(found.low, found.high, sign="+"), _chance(found.chance), *_seen(found)),
        )


def _verdicts(answered: Answered) -> Bullets:
    """A line a pair; those with a single net share one."""
    told = [
        f"{pair.claim}: {pair.verdict} ({'; '.join(pair.reasons)})" for pair in answered.pairs if not single_nets(pair)
    ]
    single = dict.fromkeys(group.label for pair in answered.pairs for group in single_nets(pair))
    if single:
        told.append(f"not testable here, as a single net has no spread: whatever compares {listed(single)}")
    return Bullets("Verdicts", tuple(told))


def _net_by_net(answered: Answered) -> Iterator[Block]:
    if answered.nets:
        caption = (
            "Net against net (McNemar, exact, unadjusted): whether two nets err on different numbers of these images. "
            "It says nothing of their designs, whose other nets would differ, and is not pooled over seeds."
        )
        rows = [
            (
                f"{each.first.label} s{each.seeds[0]}",
                f"{each.second.label} s{each.seeds[1]}",
                *(f"{each.first_alone:,}", f"{each.second_alone:,}", _chance(each.chance)),
            )
            for each in answered.nets[:MOST_NETS_SHOWN]
        ]
        yield Sheet(caption, ("net", "other net", "only the net", "only the other", "p"), tuple(rows), words=2)
        more = len(answered.nets) - MOST_NETS_SHOWN
        if more > 0:
            yield Paragraph(f"{more:,} more of nets against nets: --json")


def _published(answered: Answered) -> Iterator[Block]:
    rows = [
        (label, f"{ours.row.test_error_percent.mean:.2f}", str(each), each.protocol, each.source)
        for label, figures in answered.published.items()
        for ours in answered.question.groups
        if ours.label == label
        for each in figures
    ]
    if rows:
        caption = "As published, in percent, by another training: no interval is known but a spread that was printed"
        yield Sheet(caption, ("design", "ours", "published", "protocol", "source"), tuple(rows), words=5)


def _from_to(low: float, high: float, *, sign: str = "") -> str:
    return f"{low:{sign}.2f} to {high:{sign}.2f}"


def _chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _digits(points: float) -> str:
    return f"{points:.2f}" if points < 10 else f"{points:,.0f}"


def _count(nets: int | None) -> str:
    return f">{MOST_NETS:,}" if nets is None else f"{nets:,}"
