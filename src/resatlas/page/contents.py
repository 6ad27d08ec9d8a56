"""The contents of a page as values, in order."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from resatlas.comparing.comparison import Comparison, compare_run_set
from resatlas.comparing.fairness import left_out
from resatlas.comparing.questions import Group
from resatlas.comparing.run_sets import RunSet, split_by_images
from resatlas.comparing.words import presentable
from resatlas.designs.citations import bibtex, papers, papers_of
from resatlas.page import limits
from resatlas.page.answer import Answer, EffectsPart, answer, effects_part
from resatlas.page.chart import title_of
from resatlas.page.comparison_text import document
from resatlas.page.confusion import Confusion, Gallery, Pictures, confusion, gallery
from resatlas.page.dissection import Finding, findings
from resatlas.page.drawing import drawing
from resatlas.page.figure import Figure
from resatlas.page.found import FoundPart, found_part
from resatlas.page.headlines import Headline, headlines
from resatlas.page.leaders import leaders, leading
from resatlas.page.looks import LookedAt, Looks, no_looks
from resatlas.page.overview import charts
from resatlas.page.settings import context, settings
from resatlas.page.table import grid
from resatlas.page.verdict import notes
from resatlas.runs.record import RunRecord
from resatlas.values.blocks import Block
from resatlas.values.language import in_sequence, known, said, with_and
from resatlas.values.table import Table
from resatlas.values.text import counted

_LONGEST_NAME = 80  # letters

_MOST_AT_A_GLANCE = 6  # networks of which all are drawn side by side

_SHOWN = ("error-over-depth", "loss-over-depth", "test-error")
"""The charts of a comparison that are not folded."""


class Section(NamedTuple):
    """A question with its findings, effects, designs, charts, statistics, runs, and errors.

    `shown` and `folded` are the charts beside those of the headlines, `context` is what their captions have in common.
    `designs` are the full names of the labels. `effects` is None except for a factorial question, `found` except where
    objects are learnt.
    """

    title: str
    about: str
    verdict: tuple[str, ...]
    unfinished: tuple[str, ...]
    headlines: tuple[Headline, ...] = ()
    context: str = ""
    designs: Mapping[str, str] = MappingProxyType({})
    effects: EffectsPart | None = None
    warnings: tuple[str, ...] = ()
    leaders: Table | None = None
    costs: Table | None = None
    shown: tuple[Figure, ...] = ()
    folded: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    comparison: tuple[Block, ...] = ()
    settings: Table | None = None
    runs: Table | None = None
    confusions: tuple[Confusion, ...] = ()
    gallery: Gallery | None = None
    found: FoundPart | None = None

    @property
    def figures(self) -> Iterator[Figure]:
        """All charts, in the order of the page."""
        yield from self.effects.figures if self.effects else ()
        yield from (headline.figure for headline in self.headlines if headline.figure)
        yield from self.shown
        yield from self.folded
        yield from self.found.figures if self.found else ()
        yield from (matrix.figure for matrix in self.confusions if matrix.figure)


class Inside(NamedTuple):
    """The result of a probe, with its charts."""

    finding: Finding
    figures: tuple[Figure, ...]


class Contents(NamedTuple):
    """A page: its questions, what can be concluded, the networks, results of probes, and papers to cite.

    `glance` are the networks that are drawn side by side, `networks` the others. `uncited` is a sentence on the designs
    without a known paper.
    """

    sections: tuple[Section, ...]
    glance: tuple[Figure, ...]
    networks: tuple[Figure, ...]
    inside: tuple[Inside, ...]
    can_show: tuple[str, ...]
    cannot_show: tuple[str, ...]
    citations: tuple[str, ...]
    uncited: str
    runs: tuple[RunRecord, ...]


def contents(run_sets: Sequence[RunSet], pictures: Pictures, looks: Looks = no_looks) -> Contents:
    """The contents of the page of some questions; equal runs give equal contents.

    Raises: FolderError if a run's files are missing or damaged.
    """
    parts = split_by_images(run_sets)
    comparisons = [compare_run_set(run_set) if run_set.runs else None for run_set in parts]
    names = ChartNames()
    answers = [answer(*pair) for pair in zip(parts, comparisons, strict=True)]
    sections = tuple(
        _section(*question, pictures, looks, names) for question in zip(parts, comparisons, answers, strict=True)
    )
    analyses = [reply.analysis for reply in answers if reply.analysis]
    finished = [comparison for comparison in comparisons if comparison]
    groups = [group for comparison in finished for group in comparison.question.groups]
    runs = {run.folder.resolve(): run for run_set in parts for run in run_set.runs}
    glance, networks = _networks(groups, names)
    inside = tuple(_inside(finding, run, names) for run in runs.values() for finding in findings(run))
    dissected = list(dict.fromkeys(name for result in inside for name in result.finding.runs))
    citations, uncited = _citations(groups)
    return Contents(
        sections=sections,
        glance=glance,
        networks=networks,
        inside=inside,
        can_show=limits.can_show(finished, analyses, dissected),
        cannot_show=limits.cannot_show(finished, analyses, dissected),
        citations=citations,
        uncited=uncited,
        runs=tuple(runs.values()),
    )


def figures(content: Contents) -> Iterator[Figure]:
    """All charts, in the order of the page."""
    for section in content.sections:
        yield from section.figures
    yield from content.glance
    yield from content.networks
    yield from chain.from_iterable(result.figures for result in content.inside)


class ChartNames:
    """Unique names of the charts of a page."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def new(self, *words: str) -> str:
        """The words in small letters, digits and dashes, with a number if the name is already used."""
        name = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")[:_LONGEST_NAME].strip("-") or "chart"
        count, unique = 1, name
        while unique in self.used:
            count += 1
            unique = f"{name}-{count}"
        self.used.add(unique)
        return unique


def _section(
    run_set: RunSet, comparison: Comparison | None, reply: Answer, pictures: Pictures, looks: Looks, names: ChartNames
) -> Section:
    view, name = run_set.question.view, run_set.question.name
    title, about = presentable(known(run_set.question.title)), known(run_set.question.about)
    unfinished = tuple(map(known, run_set.unfinished))
    if comparison is None:
        return Section(title, about, reply.sentences, unfinished)
    groups = comparison.question.groups
    drawn = {figure.name: figure._replace(name=names.new(name, figure.name)) for figure in charts(view, comparison)}
    found = () if run_set.question.factors else headlines(view, comparison, drawn)
    rest = {key: figure for key, figure in drawn.items() if figure not in [headline.figure for headline in found]}
    confusions = [(group, matrix) for group in groups if (matrix := confusion(group))]
    every = leaders(comparison)
    return Section(
        title=title,
        about=introduction(about, groups),
        verdict=reply.sentences,
        unfinished=unfinished,
        headlines=found,
        context=context(groups),
        designs={group.label: group.row.design for group in groups},
        effects=_effects(reply, name, names),
        warnings=tuple(line for line in comparison.warnings if line not in map(left_out, run_set.unfinished)),
        leaders=leading(every),
        costs=every,
        shown=tuple(figure for key, figure in rest.items() if key in _SHOWN),
        folded=tuple(figure for key, figure in rest.items() if key not in _SHOWN),
        notes=notes(view, comparison),
        comparison=document([comparison])[1:] if comparison.pairs else (),
        settings=settings(groups),
        runs=grid("runs", run_set.runs),
        confusions=tuple(
            matrix._replace(
                figure=matrix.figure and matrix.figure._replace(name=names.new(name, "confusions", group.label))
            )
            for group, matrix in confusions
        ),
        gallery=None if comparison.question.obstacles else gallery(groups, pictures),
        found=_named(found_part(groups, looks), name, names),
    )


def _named(part: FoundPart | None, name: str, names: ChartNames) -> FoundPart | None:
    """The part with unique names of its charts, given in the order of the page."""
    if part is None:
        return None
    curves = part.curves and part.curves._replace(name=names.new(name, part.curves.name))

    def named(look: LookedAt) -> LookedAt:
        figures = tuple(figure._replace(name=names.new(name, figure.name, look.label)) for figure in look.figures)
        matrix = look.confusion and look.confusion._replace(name=names.new(name, "confusions", look.label))
        return look._replace(figures=figures, confusion=matrix)

    return part._replace(curves=curves, looks=tuple(map(named, part.looks)))


def _effects(reply: Answer, name: str, names: ChartNames) -> EffectsPart | None:
    """The effects of a factorial question, their charts with unique names."""
    if reply.analysis is None:
        return None
    part = effects_part(reply.analysis)
    return part._replace(figures=tuple(figure._replace(name=names.new(name, figure.name)) for figure in part.figures))


def introduction(about: str, groups: Sequence[Group]) -> str:
    """What a question is about, and after how many epochs its designs are compared."""
    epochs = sorted({group.row.epochs for group in groups})
    span = (
        counted(epochs[0], "epoch")
        if len(epochs) == 1
        else said("{first} to {last:,} epochs", first=epochs[0], last=epochs[-1])
    )
    return in_sequence(filter(None, [about, said("All results are those after {epochs} of training.", epochs=span)]))


def _inside(finding: Finding, run: RunRecord, names: ChartNames) -> Inside:
    named = (Figure(names.new(finding.name, title_of(spec), run.name), title_of(spec), spec) for spec in finding.specs)
    return Inside(finding, tuple(named))


def _networks(groups: Sequence[Group], names: ChartNames) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
    """The drawings of all networks if they are few, else of the smallest of each family; and those of the others."""
    groups = list({presentable(group.row.design): group for group in reversed(groups)}.values())[::-1]
    sizes = sorted(groups, key=lambda group: (group.row.depth, group.row.parameters), reverse=True)
    first = {group.row.family: group for group in sizes}
    seen = groups if len(groups) <= _MOST_AT_A_GLANCE else list(first.values())

    def drawn(group: Group) -> Figure:
        title = presentable(group.row.design)
        return Figure(names.new("network", title), title, drawing(group.runs[0].plan, title=title))

    glance = tuple(drawn(group) for group in groups if group in seen)
    return glance, tuple(drawn(group) for group in groups if group not in seen)


def _citations(groups: Sequence[Group]) -> tuple[tuple[str, ...], str]:
    """BibTeX of the papers that the designs use, and a sentence on designs without a known paper."""
    used: Mapping[str, str] = {
        paper.key: bibtex(paper) for group in groups if group.entry for paper in papers_of(group.entry)
    }
    unknown = list(dict.fromkeys(group.row.design for group in groups if group.entry is None))
    words = said("No paper is known for {designs}.", designs=with_and(unknown)) if unknown else ""
    return tuple(used[paper.key] for paper in papers() if paper.key in used), words
