"""The hypotheses of a study as a document: one table with a row for each, and what to know beside it."""

from collections.abc import Iterator, Sequence
from itertools import chain

from resatlas.comparing.hypotheses import Judged
from resatlas.comparing.statistics import CLAIM_LEVEL
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.table import Cell, Column, Table, words
from resatlas.values.text import counted


def document(judged: Sequence[Judged]) -> tuple[Block, ...]:
    """All hypotheses, in their order."""
    blocks: tuple[Block, ...] = (
        Heading("Hypotheses"),
        Paragraph(
            f"Tested together by Holm at a level of {100 * CLAIM_LEVEL:g} %. A difference is the mean of the first "
            "design less that of the second; test errors are in percent, their differences in points. The 95 % "
            "interval is over seeds, for test errors also over test images. It is that of each hypothesis alone: one "
            "that excludes 0 may belong to an undecided hypothesis."
        ),
        Table(title="Answers", columns=_ANSWERS, rows=tuple(map(_answer, judged))),
        Table(title="Designs", columns=_DESIGNS, rows=tuple(chain.from_iterable(map(_designs, judged)))),
    )
    notes = tuple(_notes(judged))
    return (*blocks, Bullets("Notes", notes)) if notes else blocks


_ANSWERS = (
    *words("name", "hypothesis", "answer", "measure", "difference", "95 % interval"),
    Column("p by Holm", "1", ".2g"),
)
_DESIGNS = (
    *words("name", "design", "expected", "mean"),
    *(Column(name, "1") for name in ("seeds", "parameters", "multiply-adds")),
    *words("source"),
)


def _answer(one: Judged) -> tuple[Cell, ...]:
    ends = "no spread" if one.interval is None else " to ".join(one.measure.written(end, "+") for end in one.interval)
    return (
        one.name,
        one.title,
        f"{one.answer}, preliminary" if one.unfinished else one.answer,
        one.measure.noun,
        f"{one.measure.written(one.points, '+')}{one.measure.unit}",
        ends,
        one.p_holm,
    )


def _designs(one: Judged) -> Iterator[tuple[Cell, ...]]:
    """The first design and what is expected of it, then the second."""
    hypothesis = one.hypothesis
    margin = "" if hypothesis.margin is None else f", margin {hypothesis.margin:g}"
    sides = (
        (hypothesis.first, one.first, f"{hypothesis.expected}{margin}", hypothesis.source),
        (hypothesis.second, one.second, "", ""),
    )
    for design, group, expected, source in sides:
        mean = one.measure.written(group.mean)
        row = group.row
        yield one.name, design, expected, mean, len(group.values), row.parameters, row.multiply_adds, source


def _notes(judged: Sequence[Judged]) -> Iterator[str]:
    for one in judged:
        margin = one.hypothesis.margin
        if (
            margin is not None
            and one.answer == "undecided"
            and one.interval
            and not one.interval[0] <= 0 <= one.interval[1]
        ):
            yield f"{one.name}: the designs differ; whether by more than the margin is open"
        if margin is not None and margin > one.second.mean:
            yield (
                f"{one.name}: the margin is {margin / one.second.mean:.2g} times the second design's value, so the "
                "interval says more than the answer"
            )
        counts = len(one.first.values), len(one.second.values)
        if counts[0] != counts[1]:
            yield f"{one.name}: {counts[0]} and {counts[1]} seeds are finished"
        for group in (one.first, one.second):
            if group.diverged:
                seeds = ", ".join(map(str, group.diverged))
                yield f"{one.name}: {group.label} diverged with seeds {seeds}; these count at chance level"
        if one.unfinished:
            yield f"{one.name}: not finished: {counted(len(one.unfinished), 'run')}"
