"""The effects of a factorial study as a document: claims, effects, checks, the analysis at equal parameters, notes."""

import math
from collections.abc import Iterator, Sequence

from resatlas.comparing.effects import Effect, half_normal, means_of
from resatlas.comparing.factorial import Factorial, supported
from resatlas.comparing.statistics import LEVEL
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.language import known, said, with_and
from resatlas.values.table import Column, Table, numbers, words
from resatlas.values.text import counted

_SMALL_P = 0.05
"""A p of a check below this is worth a sentence."""


def document(analyses: Sequence[Factorial]) -> tuple[Block, ...]:
    """All analyses, one after the other."""
    return tuple(block for analysis in analyses for block in _blocks(analysis))


def _blocks(analysis: Factorial) -> Iterator[Block]:
    title, noun = known(analysis.title), analysis.measure.noun
    yield Heading(said("{title}: effects on {noun}", title=title, noun=noun))
    yield setting(analysis)
    yield Bullets(said("Claims"), tuple(claims(analysis)))
    yield from tables(analysis)
    yield _half_normal(analysis.effects.effects)
    yield Bullets(said("Notes"), tuple(remarks(analysis)))


def setting(analysis: Factorial) -> Paragraph:
    """The cells and blocks, and what an effect is."""
    response = {
        "logit": said("the logit of the test error, log(wrong/right)"),
        "log": said("the natural logarithm"),
        "ranks": said("the rank within a block"),
    }[analysis.scale]
    return Paragraph(
        said(
            "{cells}, {blocks} (seeds {seeds}). The response is {response}; an effect is its mean at + less its mean "
            "at -, so a negative effect lowers it.",
            cells=counted(len(analysis.cells), "cell"),
            blocks=counted(len(analysis.seeds), "block"),
            seeds=said(", ").join(map(str, analysis.seeds)),
            response=response,
        )
    )


def tables(analysis: Factorial) -> Iterator[Table]:
    """The factors, the effects, and the main effects at equal parameters."""
    yield Table(
        title=said("Factors"),
        columns=words("factor", "-", "+"),
        rows=tuple((factor.name, factor.minus, factor.plus) for factor in analysis.factors),
    )
    yield _table(said("Effects"), analysis.effects.effects, _note(analysis))
    if analysis.covariate:
        yield _table(
            said("Main effects at equal parameters"),
            analysis.covariate,
            said(
                "A second analysis: the means of the cells, with the logarithm of their parameters as a covariate and "
                "the interactions as the error. The covariate's row is its slope."
            ),
        )


def claims(analysis: Factorial) -> Iterator[str]:
    """A sentence for each significant effect, and one for an order of effects without any."""
    effects = analysis.effects.effects
    for order in ("main", "interaction"):
        of_order = [effect for effect in effects if effect.order == order]
        found = [effect for effect in supported(effects) if effect.order == order]
        for effect in found:
            yield said("{what}: {size}.", what=_what(analysis, effect), size=_size(analysis, effect))
        if of_order and not found:
            values = {"count": len(of_order), "level": LEVEL}
            yield (
                said("No significant effect among the {count} main effects (Holm, level {level:g}).", **values)
                if order == "main"
                else said("No significant effect among the {count} interactions (Holm, level {level:g}).", **values)
            )


def _what(analysis: Factorial, effect: Effect) -> str:
    """What changes: a factor from its - to its +, or two factors that interact."""
    if effect.order == "interaction":
        return said("{factors} interact", factors=with_and(effect.factors))
    [factor] = (factor for factor in analysis.factors if factor.name == effect.name)
    return said("{factor}, {minus} to {plus}", factor=factor.name, minus=factor.minus, plus=factor.plus)


def _size(analysis: Factorial, effect: Effect) -> str:
    """The effect with its interval and p; on a logarithmic scale also as a factor."""
    interval = said(
        "{estimate:+.3g} ({low:+.3g} to {high:+.3g}; p = {p:.2g} by Holm)",
        estimate=effect.estimate,
        low=effect.low,
        high=effect.high,
        p=effect.adjusted,
    )
    if analysis.scale == "ranks" or effect.order == "interaction":
        return interval
    what = said("the odds of an error") if analysis.scale == "logit" else said("the {noun}", noun=analysis.measure.noun)
    return said(
        "{effect}, which multiplies {what} by {factor:.3g}",
        effect=interval,
        what=what,
        factor=math.exp(effect.estimate),
    )


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
    return said(
        "95 % intervals by t with {degrees} degrees of freedom; standard deviation of one run {deviation:.3g}. Holm "
        "counts main effects and interactions apart. Lenth's margin, which needs no repetition: {margin:.3g} for one "
        "effect, {simultaneous:.3g} for all at once.",
        degrees=effects.degrees,
        deviation=effects.deviation,
        margin=effects.lenth.margin,
        simultaneous=effects.lenth.simultaneous,
    )


def response_in_words(analysis: Factorial) -> str:
    """The response, short enough for an axis."""
    noun = analysis.measure.noun
    return {
        "logit": said("logit of the {noun}", noun=noun),
        "log": said("log of the {noun}", noun=noun),
        "ranks": said("rank of the {noun} in its block", noun=noun),
    }[analysis.scale]


def details(analysis: Factorial) -> Iterator[Table]:
    """What the charts show, in numbers: half-normal quantiles, the means of each pair of factors, and the cells."""
    yield _half_normal(analysis.effects.effects)
    signs = [(a, b) for a in (-1, 1) for b in (-1, 1)]
    pairs = [effect.factors for effect in analysis.effects.effects if effect.order == "interaction"]
    means = [means_of(analysis.levels, analysis.values, *pair) for pair in pairs]
    if pairs:
        yield Table(
            title=said("Mean responses at the levels of two factors"),
            columns=(*words("factors"), *(Column(f"{'-+'[a > 0]}{'-+'[b > 0]}", "1", ".3g") for a, b in signs)),
            rows=tuple((with_and(pair), *(own[at] for at in signs)) for pair, own in zip(pairs, means, strict=True)),
        )
    yield Table(
        title=said("Cells"),
        columns=(
            *words("cell", "design"),
            *numbers("multiply-adds", "parameters"),
            Column("mean response", "1", ".3g"),
        ),
        rows=tuple(
            (cell.levels, cell.design, cell.multiply_adds, cell.parameters, float(cell.responses.mean()))
            for cell in analysis.results
        ),
        note=said("The signs of a cell are those of the factors, in their order."),
    )


def _half_normal(effects: Sequence[Effect]) -> Table:
    return Table(
        title=said("Half-normal plot"),
        columns=(*words("effect"), Column("size", "1", ".3g"), Column("half-normal quantile", "1", ".2f")),
        rows=tuple((effect.name, abs(effect.estimate), quantile) for quantile, effect in half_normal(effects)),
        note=said(
            "Effects of noise alone lie near a line through zero; those far above it are unlikely to be noise alone."
        ),
    )


def remarks(analysis: Factorial) -> Iterator[str]:
    """What is left out, what a factor moves beside its level, and how well the model fits."""
    yield from analysis.left_out
    low, high = min(analysis.multiply_adds), max(analysis.multiply_adds)
    yield said("multiply-adds of the cells: {low:,} to {high:,}", low=low, high=high)
    low, high = min(analysis.parameters), max(analysis.parameters)
    yield said(
        "parameters of the cells: {low:,} to {high:,}; a difference of parameters is part of an effect",
        low=low,
        high=high,
    )
    yield from _fit(analysis)
    if analysis.covariate is None:
        yield said("the parameters of the cells follow from the factors: no analysis at equal parameters")


def _fit(analysis: Factorial) -> Iterator[str]:
    """What the residuals say of the model."""
    checks = analysis.effects.checks
    if len(analysis.seeds) == 1:
        yield said("one block: the standard error of an effect is Lenth's pseudo standard error")
    if not checks.largest:
        yield said("no residuals are left, since the model has as many terms as there are cells")
        return
    cell, seed = analysis.cells[checks.largest_cell].levels, analysis.seeds[checks.largest_block]
    yield said(
        "largest residual: {size:.2g} standard deviations, cell {cell}, seed {seed}",
        size=checks.largest,
        cell=cell,
        seed=seed,
    )
    if checks.normal_p < _SMALL_P:
        yield said(
            "residuals are not normal (Shapiro-Wilk, p = {p:.2g}): p of single effects may be inexact",
            p=checks.normal_p,
        )
    if checks.variance_p is not None and checks.variance_p < _SMALL_P:
        yield said(
            "the spread differs between cells (Brown-Forsythe, p = {p:.2g}): intervals may be inexact",
            p=checks.variance_p,
        )
