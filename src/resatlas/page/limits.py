"""What can be concluded from a page and what cannot, in sentences that depend on its runs."""

import math
from collections.abc import Iterator, Sequence

from resatlas.comparing.comparison import Comparison
from resatlas.comparing.factorial import Factorial
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group
from resatlas.comparing.rows import data_notes
from resatlas.comparing.statistics import LEVEL
from resatlas.comparing.words import presentable
from resatlas.page.verdict import detectable_difference, significant_pairs
from resatlas.runs.record import RunRecord
from resatlas.values.language import known, numbered, said, with_and
from resatlas.values.text import capitalised, counted

_MOST_NAMED = 6
"""Designs with one seed that are named."""


def can_show(
    comparisons: Sequence[Comparison], analyses: Sequence[Factorial], dissected: Sequence[str]
) -> tuple[str, ...]:
    """What the page shows; `analyses` are those of factorial questions, `dissected` the runs that were probed."""
    runs = _runs(comparisons)
    return (
        *(line for comparison in comparisons for line in _differences(comparison)),
        *map(_effects, analyses),
        said("The training curves of {runs}, and the final error on the test images.", runs=counted(len(runs), "run")),
        *(
            [
                said(
                    "The inside of {networks}. These results hold for these networks only.",
                    networks=counted(len(dissected), "trained network"),
                )
            ]
            if dissected
            else []
        ),
    )


def cannot_show(
    comparisons: Sequence[Comparison], analyses: Sequence[Factorial], dissected: Sequence[str]
) -> tuple[str, ...]:
    """What the page does not show."""
    groups = [group for comparison in comparisons for group in comparison.question.groups]
    return (
        *_smaller(comparisons, analyses),
        *_other_effects(analyses),
        *_singles(groups),
        *_images(comparisons),
        *_tests(_runs(comparisons)),
        *(said("{note}.", note=capitalised(known(note))) for note in data_notes(_runs(comparisons))),
        *_scope(groups),
        *_departures(groups),
        *(
            [said("The inside of a design in general: the networks of other seeds may give other results.")]
            if dissected
            else []
        ),
        *_unfinished(comparisons),
    )


def _differences(comparison: Comparison) -> Iterator[str]:
    judged = [pair for pair in comparison.pairs if pair.trained]
    if judged and detectable_difference(comparison):
        counts = sorted({len(group.values) for pair in judged for group in (pair.first, pair.second)})
        seeds = f"{counts[0]}" if len(counts) == 1 else said("{low} to {high}", low=counts[0], high=counts[-1])
        yield numbered(
            len(judged),
            "“{title}”: whether two designs with {seeds} seeds each differ in test error; smallest detectable "
            "difference {points} points ({power:.0f} % power). {significant} of {count} pair differs significantly. "
            "If all designs were equal, at most {level:.0f} % of such comparisons would find a significant difference.",
            "“{title}”: whether two designs with {seeds} seeds each differ in test error; smallest detectable "
            "difference {points} points ({power:.0f} % power). {significant} of {count:,} pairs differ significantly. "
            "If all designs were equal, at most {level:.0f} % of such comparisons would find a significant difference.",
            title=presentable(known(comparison.question.title)),
            seeds=seeds,
            points=detectable_difference(comparison),
            power=100 * POWER,
            significant=len(significant_pairs(comparison)),
            level=100 * LEVEL,
        )


def _effects(analysis: Factorial) -> str:
    return said(
        "“{title}”: the effects of {factors} and of their pairs on {noun}, from {cells} and {blocks}. If no factor had "
        "an effect, at most {level:.0f} % of such studies would find a significant main effect, and at most "
        "{level:.0f} % a significant interaction.",
        title=presentable(known(analysis.title)),
        factors=counted(len(analysis.factors), "factor"),
        noun=analysis.measure.noun,
        cells=counted(len(analysis.cells), "cell"),
        blocks=counted(len(analysis.seeds), "block"),
        level=100 * LEVEL,
    )


def _other_effects(analyses: Sequence[Factorial]) -> Iterator[str]:
    if analyses:
        yield said(
            "That an effect without a claim is zero: its interval says how large it may be. Effects of three or more "
            "factors together: the analysis takes them as zero. What a factor does at other levels, or beside other "
            "parts than those of the cells."
        )


def _smaller(comparisons: Sequence[Comparison], analyses: Sequence[Factorial]) -> Iterator[str]:
    if any(pair.trained for comparison in comparisons for pair in comparison.pairs):
        yield said(
            "That smaller differences are zero: more seeds may detect them. With few seeds an interval is wide, since "
            "the standard deviation is not known well."
        )
    elif len(analyses) < len(comparisons) or not comparisons:
        yield said(
            "That one design has a lower error than another: this needs two designs with at least two seeds each, "
            "better ten."
        )


def _singles(groups: Sequence[Group]) -> Iterator[str]:
    single = list(dict.fromkeys(group.label for group in groups if len(group.seeds) == 1))
    if single:
        more = [said("{count} more", count=len(single) - _MOST_NAMED)] if len(single) > _MOST_NAMED else []
        yield numbered(
            len(single),
            "How much the error of {designs} varies between seeds: it has one seed only, so no interval.",
            "How much the error of {designs} varies between seeds: they have one seed only, so no interval.",
            designs=with_and([*single[:_MOST_NAMED], *more]),
        )


def _images(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """The uncertainty due to the number of test images, by the normal approximation to the binomial."""
    for images in sorted({group.test_images for comparison in comparisons for group in comparison.question.groups}):
        groups = [
            group for comparison in comparisons for group in comparison.question.groups if group.test_images == images
        ]
        if any(run.outcome.test.measure for group in groups for run in group.runs):
            yield said(
                "The error on other test images: no interval here includes how it changes with the {images:,} test "
                "images, whose objects count together.",
                images=images,
            )
            continue
        low = min(group.row.test_error_percent.mean for group in groups) / 100
        # at least one misclassified image, since an error of 0 is not exact either
        share = max(low, 1 / images)
        points = 100 * 1.96 * math.sqrt(share * (1 - share) / images)
        yield said(
            "The error on other test images: with {images:,} test images, one image is {step:.2g} points, and other "
            "images of the same kind would change an error of {error:.2g} % by about ±{points:.1g} points. The "
            "intervals over seeds and test images include this change, which is similar for designs tested on the "
            "same images. They do not apply to images from other sources.",
            images=images,
            step=100 / images,
            error=100 * share,
            points=points,
        )


def _tests(runs: Sequence[RunRecord]) -> Iterator[str]:
    retested = sum(any(run.folder.glob("predictions-*.csv")) for run in runs)
    yield said(
        "The error of the best design on new images: the lowest test error on this page is selected on these test "
        "images, so it is too low. No run used them to select anything: each was tested once, after its last epoch."
    )
    if retested:
        yield numbered(
            retested,
            "{count} run was tested again in other ways; this page shows the first test.",
            "{count:,} runs were tested again in other ways; this page shows the first test.",
        )


def _scope(groups: Sequence[Group]) -> Iterator[str]:
    recipes = dict.fromkeys(
        said("{recipe} ({epochs})", recipe=group.row.recipe, epochs=counted(group.row.epochs, "epoch"))
        for group in groups
    )
    sizes = sorted(group.row.parameters for group in groups)
    data = dict.fromkeys(group.row.data for group in groups)
    low, high = f"{sizes[0]:,}", f"{sizes[-1]:,}"
    yield said(
        "Results outside these conditions: networks of {parameters} parameters, recipe {recipes}, data {data}. Larger "
        "networks, longer training, other images or a recipe tuned for one design may rank the designs differently.",
        parameters=low if low == high else said("{low} to {high}", low=low, high=high),
        recipes=with_and(recipes),
        data=with_and(data),
    )


def _departures(groups: Sequence[Group]) -> Iterator[str]:
    departures = dict.fromkeys(note for group in groups for note in group.departures)
    if departures:
        yield said(
            "The results of the published recipes; these runs differ: {departures}.",
            departures=said("; ").join(map(known, departures)),
        )


def _unfinished(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for question in (comparison.question for comparison in comparisons if comparison.question.unfinished):
        yield said(
            "The results of {runs} of “{title}” that did not finish.",
            runs=counted(len(question.unfinished), "run"),
            title=presentable(known(question.title)),
        )


def _runs(comparisons: Sequence[Comparison]) -> list[RunRecord]:
    runs = (run for comparison in comparisons for group in comparison.question.groups for run in group.runs)
    return list(dict.fromkeys(runs))
