"""The hypotheses of a study as a document: one table with a row for each, and what to know beside it."""

from collections.abc import Iterator, Sequence

from resatlas.comparing.hypotheses import Judged
from resatlas.comparing.statistics import CLAIM_LEVEL
from resatlas.page.document import Block, Bullets, Heading, Paragraph
from resatlas.values.table import Cell, Column, Table, words
from resatlas.values.text import counted


def document(judged: Sequence[Judged]) -> tuple[Block, ...]:
    """All hypotheses, in their order."""
    blocks: tuple[Block, ...] = (
        Heading("Hypotheses"),
        Paragraph(
            f"Tested together by Holm at a level of {100 * CLAIM_LEVEL:g} %. A difference is the mean of the first "
            "design less that of the second; test errors are in percent, their differences in points. The 95 % "
            "interval is over seeds, for test errors also over test images."
        ),
        Table(title="Answers", columns=_ANSWERS, rows=tuple(map(_answer, judged))),
        Table(title="Designs", columns=_DESIGNS, rows=tuple(map(_designs, judged))),
    )
    notes = tuple(_notes(judged))
    return (*blocks, Bullets("Notes", notes)) if notes else blocks


_ANSWERS = (
    *words("name", "hypothesis", "answer", "measure", "difference", "95 % interval"),
    Column("p by Holm", "1", ".2g"),
)
_DESIGNS = (
    *words("name", "first", "second"),
    Column("seeds", "1", "d"),
    *words("mean of first", "mean of second", "expected of first", "source"),
)


def _answer(one: Judged) -> tuple[Cell, ...]:
    low_high = (
        "no spread" if one.interval is None else " to ".join(one.measure.written(end, "+") for end in one.interval)
    )
    return (
        one.name,
        one.title,
        one.answer,
        one.measure.noun,
        f"{one.measure.written(one.points, '+')}{one.measure.unit}",
        low_high,
        one.p_holm,
    )


def _designs(one: Judged) -> tuple[Cell, ...]:
    hypothesis = one.hypothesis
    margin = "" if hypothesis.margin is None else f", margin {hypothesis.margin:g}"
    return (
        one.name,
        one.first.label,
        one.second.label,
        min(len(one.first.values), len(one.second.values)),
        one.measure.written(one.first.mean),
        one.measure.written(one.second.mean),
        f"{hypothesis.expected}{margin}",
        hypothesis.source,
    )


def _notes(judged: Sequence[Judged]) -> Iterator[str]:
    for one in judged:
        counts = len(one.first.values), len(one.second.values)
        if counts[0] != counts[1]:
            yield f"{one.name}: {counts[0]} and {counts[1]} seeds are finished"
        for group in (one.first, one.second):
            if group.diverged:
                seeds = ", ".join(map(str, group.diverged))
                yield f"{one.name}: {group.label} diverged with seeds {seeds}; these count at chance level"
        if one.unfinished:
            yield f"{one.name}: not finished: {counted(len(one.unfinished), 'run')}"
