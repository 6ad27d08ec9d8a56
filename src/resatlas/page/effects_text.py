"""The effects of a factorial study as a document: claims, effects, checks, the analysis at equal parameters, notes."""

import math
from collections.abc import Iterator, Sequence

from resatlas.comparing.effects import Effect, half_normal, means_of
from resatlas.comparing.factorial import Factorial, supported
from resatlas.comparing.statistics import LEVEL
from resatlas.comparing.words import with_and
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.table import Column, Table, numbers, words
from resatlas.values.text import counted

_SCALES = {
    "logit": "the logit of the test error, log(wrong/right)",
    "log": "the natural logarithm",
    "ranks": "the rank within a block",
}

_SMALL_P = 0.05
"""A p of a check below this is worth a sentence."""


def document(analyses: Sequence[Factorial]) -> tuple[Block, ...]:
    """All analyses, one after the other."""
    return tuple(block for analysis in analyses for block in _blocks(analysis))


def _blocks(analysis: Factorial) -> Iterator[Block]:
    yield Heading(f"{analysis.title}: effects on {analysis.measure.noun}")
    yield setting(analysis)
    yield Bullets("Claims", tuple(claims(analysis)))
    yield from tables(analysis)
    yield _half_normal(analysis.effects.effects)
    yield Bullets("Notes", tuple(remarks(analysis)))


def setting(analysis: Factorial) -> Paragraph:
    """The cells and blocks, and what an effect is."""
    return Paragraph(
        f"{counted(len(analysis.cells), 'cell')}, {counted(len(analysis.seeds), 'block')} (seeds "
        f"{', '.join(map(str, analysis.seeds))}). The response is {_SCALES[analysis.scale]}; an effect is its mean at "
        "+ less its mean at -, so a negative effect lowers it."
    )


def tables(analysis: Factorial) -> Iterator[Table]:
    """The factors, the effects, and the main effects at equal parameters."""
    yield Table(
        title="Factors",
        columns=words("factor", "-", "+"),
        rows=tuple((factor.name, factor.minus, factor.plus) for factor in analysis.factors),
    )
    yield _table("Effects", analysis.effects.effects, _note(analysis))
    if analysis.covariate:
        yield _table(
            "Main effects at equal parameters",
            analysis.covariate,
            "A second analysis: the means of the cells, with the logarithm of their parameters as a covariate and the "
            "interactions as the error. The covariate's row is its slope.",
        )


def claims(analysis: Factorial) -> Iterator[str]:
    """A sentence for each significant effect, and one for an order of effects without any."""
    effects = analysis.effects.effects
    for order, name in (("main", "main effects"), ("interaction", "interactions")):
        of_order = [effect for effect in effects if effect.order == order]
        found = [effect for effect in supported(effects) if effect.order == order]
        yield from (f"{_what(analysis, effect)}: {_size(analysis, effect)}." for effect in found)
        if of_order and not found:
            yield f"No significant effect among the {len(of_order)} {name} (Holm, level {LEVEL:g})."


def _what(analysis: Factorial, effect: Effect) -> str:
    """What changes: a factor from its - to its +, or two factors that interact."""
    if effect.order == "interaction":
        return f"{with_and(effect.factors)} interact"
    [factor] = (factor for factor in analysis.factors if factor.name == effect.name)
    return f"{factor.name}, {factor.minus} to {factor.plus}"


def _size(analysis: Factorial, effect: Effect) -> str:
    """The effect with its interval and p; on a logarithmic scale also as a factor."""
    interval = f"{effect.estimate:+.3g} ({effect.low:+.3g} to {effect.high:+.3g}; p = {effect.adjusted:.2g} by Holm)"
    if analysis.scale == "ranks" or effect.order == "interaction":
        return interval
    what = "the odds of an error" if analysis.scale == "logit" else f"the {analysis.measure.noun}"
    return f"{interval}, which multiplies {what} by {math.exp(effect.estimate):.3g}"


def _table(title: str, effects: Sequence[Effect], note: str) -> Table:
    columns = (
        *words("effect"),
        *(Column(name, "1", ".3g") for name in ("estimate", "low", "high")),
        *(Column(name, "1", ".2g") for name in ("p", "p by Holm")),
    )
    rows = tuple(
        (effect.name, effect.estimate, effect.low, effect.high, effect.p, effect.adjusted) for effect in effects
    )
    return Table(title=title, columns=columns, rows=rows, note=note)


def _note(analysis: Factorial) -> str:
    effects = analysis.effects
    return (
        f"95 % intervals by t with {effects.degrees} degrees of freedom; standard deviation of one run "
        f"{effects.deviation:.3g}. Holm counts main effects and interactions apart. Lenth's margin, which needs no "
        f"repetition: {effects.lenth.margin:.3g} for one effect, {effects.lenth.simultaneous:.3g} for all at once."
    )


def response_in_words(analysis: Factorial) -> str:
    """The response, short enough for an axis."""
    noun = analysis.measure.noun
    return {"logit": f"logit of the {noun}", "log": f"log of the {noun}", "ranks": f"rank of the {noun} in its block"}[
        analysis.scale
    ]


def details(analysis: Factorial) -> Iterator[Table]:
    """What the charts show, in numbers: half-normal quantiles, the means of each pair of factors, and the cells."""
    yield _half_normal(analysis.effects.effects)
    signs = [(a, b) for a in (-1, 1) for b in (-1, 1)]
    pairs = [effect.factors for effect in analysis.effects.effects if effect.order == "interaction"]
    means = [means_of(analysis.levels, analysis.values, *pair) for pair in pairs]
    if pairs:
        yield Table(
            title="Mean responses at the levels of two factors",
            columns=(*words("factors"), *(Column(f"{'-+'[a > 0]}{'-+'[b > 0]}", "1", ".3g") for a, b in signs)),
            rows=tuple((with_and(pair), *(own[at] for at in signs)) for pair, own in zip(pairs, means, strict=True)),
        )
    yield Table(
        title="Cells",
        columns=(
            *words("cell", "design"),
            *numbers("multiply-adds", "parameters"),
            Column("mean response", "1", ".3g"),
        ),
        rows=tuple(
            (cell.levels, cell.design, cell.multiply_adds, cell.parameters, float(cell.responses.mean()))
            for cell in analysis.results
        ),
        note="The signs of a cell are those of the factors, in their order.",
    )


def _half_normal(effects: Sequence[Effect]) -> Table:
    return Table(
        title="Half-normal plot",
        columns=(*words("effect"), Column("size", "1", ".3g"), Column("half-normal quantile", "1", ".2f")),
        rows=tuple((effect.name, abs(effect.estimate), quantile) for quantile, effect in half_normal(effects)),
        note="Effects of noise alone lie near a line through zero; those far above it are unlikely to be noise alone.",
    )


def remarks(analysis: Factorial) -> Iterator[str]:
    """What is left out, what a factor moves beside its level, and how well the model fits."""
    yield from analysis.left_out
    low, high = min(analysis.multiply_adds), max(analysis.multiply_adds)
    yield f"multiply-adds of the cells: {low:,} to {high:,}"
    low, high = min(analysis.parameters), max(analysis.parameters)
    yield f"parameters of the cells: {low:,} to {high:,}; a difference of parameters is part of an effect"
    checks = analysis.effects.checks
    cell, seed = analysis.cells[checks.largest_cell].levels, analysis.seeds[checks.largest_block]
    yield f"largest residual: {checks.largest:.2g} standard deviations, cell {cell}, seed {seed}"
    if checks.normal_p < _SMALL_P:
        yield f"residuals are not normal (Shapiro-Wilk, p = {checks.normal_p:.2g}): p of single effects may be inexact"
    if checks.variance_p is not None and checks.variance_p < _SMALL_P:
        yield (
            f"the spread differs between cells (Brown-Forsythe, p = {checks.variance_p:.2g}): intervals may be inexact"
        )
    if analysis.covariate is None:
        yield "the parameters of the cells follow from the factors: no analysis at equal parameters"
