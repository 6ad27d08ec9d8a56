"""What can be concluded from a page and what cannot, in sentences that depend on its runs."""

import math
from collections.abc import Iterator, Sequence

from resatlas.comparing.comparison import Comparison
from resatlas.comparing.factorial import Factorial
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group
from resatlas.comparing.rows import data_notes
from resatlas.comparing.statistics import LEVEL
from resatlas.comparing.words import presentable, with_and
from resatlas.page.verdict import detectable_difference, significant_pairs
from resatlas.runs.record import RunRecord
from resatlas.values.text import counted

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
        f"The training curves of {counted(len(runs), 'run')}, and the final error on the test images.",
        *(
            [f"The inside of {counted(len(dissected), 'trained network')}. These results hold for these networks only."]
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
        *(f"{note[0].upper()}{note[1:]}." for note in data_notes(_runs(comparisons))),
        *_scope(groups),
        *_departures(groups),
        *(
            ["The inside of a design in general: the networks of other seeds may give other results."]
            if dissected
            else []
        ),
        *_unfinished(comparisons),
    )


def _differences(comparison: Comparison) -> Iterator[str]:
    judged = [pair for pair in comparison.pairs if pair.trained]
    if judged and detectable_difference(comparison):
        counts = sorted({len(group.values) for pair in judged for group in (pair.first, pair.second)})
        seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        yield (
            f"“{presentable(comparison.question.title)}”: whether two designs with {seeds} seeds each differ in test "
            f"error; smallest detectable difference {detectable_difference(comparison)} points "
            f"({100 * POWER:.0f} % power). {len(significant_pairs(comparison))} of {counted(len(judged), 'pair')} "
            f"{'differs' if len(judged) == 1 else 'differ'} significantly. If all designs were equal, at most "
            f"{100 * LEVEL:.0f} % of such comparisons would find a significant difference."
        )


def _effects(analysis: Factorial) -> str:
    factors, cells = counted(len(analysis.factors), "factor"), counted(len(analysis.cells), "cell")
    return (
        f"“{presentable(analysis.title)}”: the effects of {factors} and of their pairs on {analysis.measure.noun}, "
        f"from {cells} and {counted(len(analysis.seeds), 'block')}. If no factor had an effect, at most "
        f"{100 * LEVEL:.0f} % of such studies would find a significant main effect, and at most {100 * LEVEL:.0f} % a "
        "significant interaction."
    )


def _other_effects(analyses: Sequence[Factorial]) -> Iterator[str]:
    if analyses:
        yield (
            "That an effect without a claim is zero: its interval says how large it may be. Effects of three or more "
            "factors together: the analysis takes them as zero. What a factor does at other levels, or beside other "
            "parts than those of the cells."
        )


def _smaller(comparisons: Sequence[Comparison], analyses: Sequence[Factorial]) -> Iterator[str]:
    if any(pair.trained for comparison in comparisons for pair in comparison.pairs):
        yield (
            "That smaller differences are zero: more seeds may detect them. With few seeds an interval is wide, since "
            "the standard deviation is not known well."
        )
    elif len(analyses) < len(comparisons) or not comparisons:
        yield (
            "That one design has a lower error than another: this needs two designs with at least two seeds each, "
            "better ten."
        )


def _singles(groups: Sequence[Group]) -> Iterator[str]:
    single = list(dict.fromkeys(group.label for group in groups if len(group.seeds) == 1))
    if single:
        named = single if len(single) <= _MOST_NAMED else [*single[:_MOST_NAMED], f"{len(single) - _MOST_NAMED} more"]
        have = "they have" if len(single) > 1 else "it has"
        yield f"How much the error of {with_and(named)} varies between seeds: {have} one seed only, so no interval."


def _images(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """The uncertainty due to the number of test images, by the normal approximation to the binomial."""
    for images in sorted({group.test_images for comparison in comparisons for group in comparison.question.groups}):
        groups = [
            group for comparison in comparisons for group in comparison.question.groups if group.test_images == images
        ]
        if any(run.outcome.test.measure for group in groups for run in group.runs):
            yield (
                f"The error on other test images: no interval here includes how it changes with the {images:,} test "
                "images, whose objects count together."
            )
            continue
        low = min(group.row.test_error_percent.mean for group in groups) / 100
        # at least one misclassified image, since an error of 0 is not exact either
        share = max(low, 1 / images)
        points = 100 * 1.96 * math.sqrt(share * (1 - share) / images)
        yield (
            f"The error on other test images: with {images:,} test images, one image is {100 / images:.2g} points, "
            f"and other images of the same kind would change an error of {100 * share:.2g} % by about ±{points:.1g} "
            "points. The intervals over seeds and test images include this change, which is similar for designs "
            "tested on the same images. They do not apply to images from other sources."
        )


def _tests(runs: Sequence[RunRecord]) -> Iterator[str]:
    retested = sum(any(run.folder.glob("predictions-*.csv")) for run in runs)
    yield (
        "The error of the best design on new images: the lowest test error on this page is selected on these test "
        "images, so it is too low. No run used them to select anything: each was tested once, after its last epoch."
    )
    if retested:
        were = "was" if retested == 1 else "were"
        yield f"{counted(retested, 'run')} {were} tested again in other ways; this page shows the first test."


def _scope(groups: Sequence[Group]) -> Iterator[str]:
    recipes = dict.fromkeys(f"{group.row.recipe} ({counted(group.row.epochs, 'epoch')})" for group in groups)
    sizes = sorted(group.row.parameters for group in groups)
    data = dict.fromkeys(group.row.data for group in groups)
    spread = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    yield (
        f"Results outside these conditions: networks of {spread} parameters, recipe {with_and(recipes)}, data "
        f"{with_and(data)}. Larger networks, longer training, other images or a recipe tuned for one design may "
        "rank the designs differently."
    )


def _departures(groups: Sequence[Group]) -> Iterator[str]:
    departures = dict.fromkeys(note for group in groups for note in group.departures)
    if departures:
        yield f"The results of the published recipes; these runs differ: {'; '.join(departures)}."


def _unfinished(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for question in (comparison.question for comparison in comparisons if comparison.question.unfinished):
        count = counted(len(question.unfinished), "run")
        yield f"The results of {count} of “{presentable(question.title)}” that did not finish."


def _runs(comparisons: Sequence[Comparison]) -> list[RunRecord]:
    runs = (run for comparison in comparisons for group in comparison.question.groups for run in group.runs)
    return list(dict.fromkeys(runs))
