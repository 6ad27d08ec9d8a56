"""What stands on a page, as values, in its order."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from resatlas.comparing.comparison import Comparison, compare_run_set
from resatlas.comparing.questions import Group
from resatlas.comparing.run_sets import RunSet, split_by_images
from resatlas.comparing.words import presentable, with_and
from resatlas.designs.citations import bibtex, papers, papers_of
from resatlas.page import limits
from resatlas.page.answer_text import document
from resatlas.page.chart import title_of
from resatlas.page.confusion import Confusion, Gallery, Pictures, confusion, gallery
from resatlas.page.dissection import Finding, findings
from resatlas.page.document import Block
from resatlas.page.drawing import drawing
from resatlas.page.figure import Figure
from resatlas.page.leaders import leaders
from resatlas.page.overview import charts
from resatlas.page.table import grid
from resatlas.page.verdict import notes, verdict
from resatlas.runs.record import RunRecord
from resatlas.values.table import Table

LONGEST_NAME = 80


class Section(NamedTuple):
    """A question: its answer in words, the designs, the charts, the whole comparison, each run, and what goes wrong."""

    title: str
    verdict: tuple[str, ...]
    unfinished: tuple[str, ...]
    warnings: tuple[str, ...]
    leaders: Table | None
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    comparison: tuple[Block, ...]
    runs: Table | None
    confusions: tuple[Confusion, ...]
    gallery: Gallery | None


class Inside(NamedTuple):
    """What a run was asked about its inside, with the charts of it."""

    finding: Finding
    figures: tuple[Figure, ...]


class Contents(NamedTuple):
    """A page: its questions, the networks, what is inside some, what can be concluded, and whom to cite.

    `uncited` are designs whose papers are not known, in words.
    """

    sections: tuple[Section, ...]
    networks: tuple[Figure, ...]
    inside: tuple[Inside, ...]
    shown: tuple[str, ...]
    hidden: tuple[str, ...]
    citations: tuple[str, ...]
    uncited: str
    runs: tuple[RunRecord, ...]


def contents(answers: Sequence[RunSet], pictures: Pictures) -> Contents:
    """The contents of the page of some questions; the same runs give the same.

    Raises: FolderError if a run's files are missing or damaged.
    """
    parts = split_by_images(answers)
    told = [compare_run_set(answer) if answer.runs else None for answer in parts]
    names = _Names()
    sections = tuple(_section(*each, pictures, names) for each in zip(parts, told, strict=True))
    known = [each for each in told if each]
    groups = [group for each in known for group in each.question.groups]
    runs = {run.folder.resolve(): run for answer in parts for run in answer.runs}
    networks = _networks(groups, names)
    inside = tuple(_inside(finding, run, names) for run in runs.values() for finding in findings(run))
    dissected = list(dict.fromkeys(name for each in inside for name in each.finding.runs))
    citations, uncited = _citations(groups)
    return Contents(
        sections=sections,
        networks=networks,
        inside=inside,
        shown=limits.shown(known, dissected),
        hidden=limits.hidden(known, dissected),
        citations=citations,
        uncited=uncited,
        runs=tuple(runs.values()),
    )


def figures(shown: Contents) -> Iterator[Figure]:
    """All charts, in the page's order."""
    for section in shown.sections:
        yield from section.figures
        yield from (each.figure for each in section.confusions if each.figure)
    yield from shown.networks
    yield from chain.from_iterable(each.figures for each in shown.inside)


class _Names:
    """Names that were given, so that none is given twice."""

    def __init__(self) -> None:
        self.given: set[str] = set()

    def new(self, *words: str) -> str:
        """The words in small letters, digits and dashes, with a number where they were given before."""
        name = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")[:LONGEST_NAME].strip("-") or "chart"
        count, free = 1, name
        while free in self.given:
            count += 1
            free = f"{name}-{count}"
        self.given.add(free)
        return free


def _section(answer: RunSet, told: Comparison | None, pictures: Pictures, names: _Names) -> Section:
    view, name = answer.question.view, answer.question.name
    if told is None:
        return Section(
            *(presentable(answer.question.title), verdict(view, None), answer.unfinished, ()),
            *(None, (), (), (), None, (), None),
        )
    groups = told.question.groups
    confused = [(group, found) for group in groups if (found := confusion(group))]
    return Section(
        title=presentable(answer.question.title),
        verdict=verdict(view, told),
        unfinished=answer.unfinished,
        warnings=tuple(each for each in told.warnings if not each.startswith("left out, not finished")),
        leaders=leaders(told),
        figures=tuple(each._replace(name=names.new(name, each.name)) for each in charts(view, told)),
        notes=notes(view, told),
        comparison=document([told])[1:] if told.pairs else (),
        runs=grid("runs", answer.runs),
        confusions=tuple(
            found._replace(
                figure=found.figure and found.figure._replace(name=names.new(name, "confusions", group.label))
            )
            for group, found in confused
        ),
        gallery=None if told.question.obstacles else gallery(groups, pictures),
    )


def _inside(finding: Finding, run: RunRecord, names: _Names) -> Inside:
    drawn = (Figure(names.new(finding.name, title_of(spec), run.name), title_of(spec), spec) for spec in finding.specs)
    return Inside(finding, tuple(drawn))


def _networks(groups: Sequence[Group], names: _Names) -> tuple[Figure, ...]:
    """Each network once."""
    found: dict[str, Figure] = {}
    for group in groups:
        title = presentable(group.row.design)
        if title not in found:
            found[title] = Figure(names.new("network", title), title, drawing(group.runs[0].plan, title=title))
    return tuple(found.values())


def _citations(groups: Sequence[Group]) -> tuple[tuple[str, ...], str]:
    """BibTeX of exactly the papers that the designs use, and in words the designs of which nothing is known."""
    used: Mapping[str, str] = {
        paper.key: bibtex(paper) for group in groups if group.entry for paper in papers_of(group.entry)
    }
    unknown = list(dict.fromkeys(group.row.design for group in groups if group.entry is None))
    words = f"Which papers {with_and(unknown)} uses is not known here." if unknown else ""
    return tuple(used[paper.key] for paper in papers() if paper.key in used), words
