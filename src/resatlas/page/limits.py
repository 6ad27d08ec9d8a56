"""What a page can show, and what it cannot, in words that follow from its runs."""

import math
from collections.abc import Iterator, Sequence

from resatlas.comparing.comparison import Comparison
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group
from resatlas.comparing.rows import data_notes
from resatlas.comparing.statistics import LEVEL
from resatlas.comparing.words import presentable, with_and
from resatlas.page.verdict import apart, could_see
from resatlas.runs.record import RunRecord

MOST_NAMED = 6


def shown(answers: Sequence[Comparison], dissected: Sequence[str]) -> tuple[str, ...]:
    """What the page can show; `dissected` are the runs whose insides stand on it."""
    runs = _runs(answers)
    return (
        *(line for answer in answers for line in _differences(answer)),
        f"How {_count(len(runs), 'training')} went, epoch by epoch, and how each ended on its test images.",
        *(
            [f"What is inside {_count(len(dissected), 'trained network')}: facts about just these networks."]
            if dissected
            else []
        ),
    )


def hidden(answers: Sequence[Comparison], dissected: Sequence[str]) -> tuple[str, ...]:
    """What the page cannot show."""
    groups = [group for answer in answers for group in answer.question.groups]
    return (
        *_smaller(answers),
        *_singles(groups),
        *_images(answers),
        *_tests(_runs(answers)),
        *(f"{note[0].upper()}{note[1:]}." for note in data_notes(_runs(answers))),
        *_scope(groups),
        *_departures(groups),
        *(
            ["The inside of a design: what is told of one net may be otherwise in the next seed's."]
            if dissected
            else []
        ),
        *_unfinished(answers),
    )


def _differences(answer: Comparison) -> Iterator[str]:
    judged = [pair for pair in answer.pairs if pair.trained]
    if judged and could_see(answer):
        counts = sorted({len(group.values) for pair in judged for group in (pair.first, pair.second)})
        seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        yield (
            f"“{presentable(answer.question.title)}”: differences in test error of {could_see(answer)} points and more "
            f"between two designs of {seeds} seeds each, detected with {100 * POWER:.0f} % power. Found: "
            f"{len(apart(answer))} in {_count(len(judged), 'pair')}; if all were equal, at most {100 * LEVEL:.0f} % of "
            "such questions would find any."
        )


def _smaller(answers: Sequence[Comparison]) -> Iterator[str]:
    if any(pair.trained for answer in answers for pair in answer.pairs):
        yield (
            "That a smaller difference is zero: more seeds may find it. An interval of few seeds is wide, because "
            "their spread is hardly known."
        )
    else:
        yield "That any design errs less than another: it takes two designs of two seeds each, and better ten."


def _singles(groups: Sequence[Group]) -> Iterator[str]:
    single = list(dict.fromkeys(group.label for group in groups if len(group.seeds) == 1))
    if single:
        named = single if len(single) <= MOST_NAMED else [*single[:MOST_NAMED], f"{len(single) - MOST_NAMED} more"]
        have = "they have" if len(single) > 1 else "it has"
        names = with_and(named)
        yield f"How far another seed would be from {names}: {have} a single one, so no interval, no comparison."


def _images(answers: Sequence[Comparison]) -> Iterator[str]:
    """What the number of test images means for an error, of the normal approximation to the binomial."""
    for images in sorted({group.test_images for answer in answers for group in answer.question.groups}):
        groups = [g for answer in answers for g in answer.question.groups if g.test_images == images]
        low = min(group.row.test_error_percent.mean for group in groups) / 100
        # at least one wrong image, as an error of 0 would not be known exactly either
        share = max(low, 1 / images)
        points = 100 * 1.96 * math.sqrt(share * (1 - share) / images)
        yield (
            f"What other test images would say: {images:,} were used, one is {100 / images:.2g} points, and with "
            f"others of their kind an error of {100 * share:.2g} % would move by about ±{points:.1g} points. The "
            "intervals over seeds and test images count that, designs on the same images moving together; they say "
            "nothing of images from elsewhere."
        )


def _tests(runs: Sequence[RunRecord]) -> Iterator[str]:
    again = sum(any(run.folder.glob("predictions-*.csv")) for run in runs)
    yield (
        "How the lowest test error of this page would be on new images: whoever picks it chooses by these test images, "
        "and it is too low. The runs chose nothing by them: each was tested once, after its last epoch."
    )
    if again:
        were = "was" if again == 1 else "were"
        yield f"Of these, {_count(again, 'run')} {were} tested again in other ways; the figures are of the first test."


def _scope(groups: Sequence[Group]) -> Iterator[str]:
    recipes = dict.fromkeys(f"{group.row.recipe} ({group.row.epochs} epochs)" for group in groups)
    sizes = sorted(group.row.parameters for group in groups)
    data = dict.fromkeys(group.row.data for group in groups)
    spread = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    yield (
        f"Anything beyond networks of {spread} parameters, recipe {with_and(recipes)}, data {with_and(data)}: larger "
        "networks, longer training, other images or a recipe tuned for one design may order them otherwise."
    )


def _departures(groups: Sequence[Group]) -> Iterator[str]:
    found = dict.fromkeys(note for group in groups for note in group.departures)
    if found:
        yield f"The recipes as they were published: here {'; '.join(found)}."


def _unfinished(answers: Sequence[Comparison]) -> Iterator[str]:
    for question in (answer.question for answer in answers if answer.question.unfinished):
        count = _count(len(question.unfinished), "run")
        yield f"The {count} of “{presentable(question.title)}” that did not finish, and what they would have changed."


def _runs(answers: Sequence[Comparison]) -> list[RunRecord]:
    runs = (run for answer in answers for group in answer.question.groups for run in group.runs)
    return list(dict.fromkeys(runs))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' if number != 1 else ''}"
