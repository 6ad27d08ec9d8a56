"""The pages about the papers: sizes and errors as printed, recipes, mistakes, rules of counting, from the package."""

import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from docs.site.reference import fenced, joined, prose

from resatlas.arch.conventions import CONVENTIONS
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import FAMILIES, named, resolve
from resatlas.designs.citations import bibtex, papers
from resatlas.designs.family import Family, Paper
from resatlas.designs.mistakes import MISTAKES
from resatlas.designs.plan_mistakes import PLAN_MISTAKES
from resatlas.designs.printed import FOREIGN, printed
from resatlas.designs.published import Published, backbone_of, design_of, elsewhere, published
from resatlas.designs.verdicts import Verdict, verdict_of
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.text import render
from resatlas.values import markdown
from resatlas.values.table import Table, numbers, words
from resatlas.values.text import counted

_DIFFERS = re.compile(r'Differs: (.+?)(?=\n\s*\n|"""|\n\s*(?:Raises|Source|Shape):)', re.DOTALL)

_COUNTED = "resnet-50"
"""The network whose operations are counted by every rule."""


def papers_page() -> str:
    """For each paper its printed sizes beside our counts, its published errors, its recipes and what is unsettled."""
    known = _verdicts()
    figures = _figures()
    parts = [
        "# The papers, number by number",
        "Every size that these papers and their authors printed, beside what we count; every error that they "
        "published; how they trained, and what they leave open. The page is made from the records of the package: "
        "`resatlas verify`, `resatlas describe NAME` and `resatlas describe --recipe NAME` print the same.",
        "A verdict is *yes* if our rule of counting gives the printed digits, *partly* if only the rule named beside "
        "it does, and *no* if no known rule does.",
        markdown.table(_overview(known)),
    ]
    for paper in papers():
        families = _families(paper)
        parts += [
            f"## {markdown.as_text(paper.title)}",
            f"{prose(', '.join(paper.authors))}. {prose(paper.booktitle)}, {paper.year}. "
            f"[arXiv:{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv}). "
            f"Families here: {', '.join(f'`{family.name}`' for family in families)}.",
            *_differences(families),
            *_sizes(known.get(paper, [])),
            *_errors(figures.get(paper, [])),
            *_trainings(recipes.NAMED[name] for name in _recipes(families)),
            folded("BibTeX", fenced(bibtex(paper))),
        ]
    claimed = {name for paper in papers() for name in _recipes(_families(paper))}
    parts += ["## Beyond these papers", *_errors(figures.get(None, []), "networks that are not built here")]
    parts += _trainings(recipe for name, recipe in recipes.NAMED.items() if name not in claimed)
    return joined(parts)


def _families(paper: Paper) -> list[Family]:
    return [family for family in FAMILIES.values() if family.paper.key == paper.key]


def _recipes(families: Iterable[Family]) -> list[str]:
    return list(dict.fromkeys(name for family in families for name in family.recipes))


def _paper_of(family: str) -> Paper:
    """The paper of a family, as `papers` has it."""
    return next(paper for paper in papers() if paper.key == FAMILIES[family].paper.key)


@cache
def _family_of(design: str) -> str:
    return resolve(design).family


@cache
def _plan(name: str, classes: int) -> Plan:
    return named()[name].plan(classes=classes)


@cache
def _verdicts() -> Mapping[Paper, list[Verdict]]:
    """The verdicts on all printed sizes by the paper of their network."""
    found: dict[Paper, list[Verdict]] = {}
    for figure in printed():
        if figure.name not in FOREIGN:
            verdict = verdict_of(figure.name, _plan(figure.name, figure.classes), figure)
            found.setdefault(_paper_of(named()[figure.name].family), []).append(verdict)
    return found


def _figures() -> Mapping[Paper | None, list[Published]]:
    """The published figures by the paper of their network; None for networks that are not here."""
    found: dict[Paper | None, list[Published]] = {}
    for figure in published():
        design = design_of(figure) or backbone_of(figure)
        found.setdefault(_paper_of(_family_of(design)) if design else None, []).append(figure)
    return found


def _overview(known: Mapping[Paper, list[Verdict]]) -> Table:
    columns = (*words("paper"), *numbers("year", "sizes printed", "yes", "partly", "no"))
    rows = []
    for paper in papers():
        counts = Counter(verdict.verdict for verdict in known.get(paper, []))
        rows.append((paper.title, str(paper.year), counts.total(), counts["yes"], counts["partly"], counts["no"]))
    return Table(columns=columns, rows=tuple(rows))


def _differences(families: Iterable[Family]) -> Iterator[str]:
    """What the files of the families say of paper, code and libraries that part ways."""
    modules = dict.fromkeys(family.design.__module__ for family in families)
    sentences = [
        sentence for module in modules for sentence in _DIFFERS.findall(inspect.getsource(sys.modules[module]))
    ]
    if sentences:
        yield "### Where paper, code and libraries differ"
        yield "\n".join(f"- {prose(sentence[0].upper() + sentence[1:])}" for sentence in dict.fromkeys(sentences))


def _sizes(verdicts: list[Verdict]) -> Iterator[str]:
    """The sizes that need another rule, or that none gives, then all."""
    if not verdicts:
        return
    yield "### Sizes"
    disputed = [verdict for verdict in verdicts if verdict.verdict != "yes"]
    if disputed:
        yield "Our rule does not give these:"
        yield _sized(disputed)
    agreed = [verdict for verdict in verdicts if verdict.verdict == "yes"]
    yield folded(f"{counted(len(agreed), 'size')} that our rule gives", _sized(agreed))


def _sized(verdicts: Iterable[Verdict]) -> str:
    columns = (*words("network", "quantity", "printed"), *numbers("ours"), *words("verdict", "counted as", "source"))
    rows = tuple(
        (
            verdict.name,
            verdict.quantity.replace("_", "-"),
            verdict.printed,
            verdict.ours,
            verdict.verdict,
            verdict.convention,
            verdict.source,
        )
        for verdict in verdicts
    )
    return markdown.table(Table(columns=columns, rows=rows))


def _errors(figures: list[Published], what: str = "published figures") -> Iterator[str]:
    if not figures:
        return
    columns = words("name in the record", "data", "metric", "percent", "protocol", "source")
    rows = tuple(
        (
            figure.name,
            figure.dataset,
            figure.metric,
            str(figure),
            "; ".join(filter(None, (figure.protocol, elsewhere(figure.name)))),
            figure.source,
        )
        for figure in figures
    )
    yield "### Published errors"
    yield folded(f"{len(figures)} {what}", markdown.table(Table(columns=columns, rows=rows)))


def _trainings(some: Iterable[Recipe]) -> Iterator[str]:
    trainings = list(some)
    if trainings:
        yield "### Recipes"
    for recipe in trainings:
        yield f"**{recipe.name}**: {prose(recipe.source)}."
        if recipe.unsettled:
            yield "Unsettled, with our choice:"
            yield "\n".join(f"- {prose(choice)}" for choice in recipe.unsettled)
        yield folded("every number", fenced(render(recipe)))


def mistakes_page() -> str:
    """The mistakes that were seen in public, with where."""
    seen = {
        (mistake.what, mistake.seen) for mistake in (*MISTAKES, *PLAN_MISTAKES) if mistake.seen != "a plausible slip"
    }
    table = Table(columns=words("mistake", "seen in, or as"), rows=tuple(sorted(seen)))
    return joined(
        [
            "# Mistakes seen in public",
            "What public code does in place of what a paper says, or what one paper's network is taken for. "
            "`resatlas audit FILE.py:NAME --as DESIGN` names those that explain how a network differs from a design.",
            markdown.table(table),
        ]
    )


def counting_page() -> str:
    """The rules by which papers and programs count."""
    plan = named()[_COUNTED].plan()
    rows = tuple((rule.name, rule.rule, rule.count(plan)) for rule in CONVENTIONS)
    rules = Counter(verdict.convention for verdicts in _verdicts().values() for verdict in verdicts)
    return joined(
        [
            "# How sizes are counted",
            f'One network has as many "FLOPs" as there are counters. `resatlas describe {_COUNTED} --conventions`:',
            markdown.table(Table(columns=(*words("counter", "rule"), *numbers(_COUNTED)), rows=rows)),
            "Papers count parameters and layers by rules of their own. These give the printed sizes:",
            markdown.table(
                Table(
                    columns=(*words("counted as"), *numbers("printed sizes")),
                    rows=tuple(rules.most_common()),
                )
            ),
        ]
    )


def folded(summary: str, text: str) -> str:
    """A part that a click opens."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"
