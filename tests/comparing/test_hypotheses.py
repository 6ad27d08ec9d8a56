"""Hypotheses of a study: the right answer for planted values, no stronger than the interval, all tested together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resatlas.comparing.bounds import direct_bound
from resatlas.comparing.claims import Observations, estimate_bound
from resatlas.comparing.hypotheses import _tested, judged
from resatlas.comparing.run_sets import RunSet
from resatlas.comparing.statistics import CLAIM_LEVEL
from resatlas.errors import BlueprintError, UsageError
from resatlas.runs.collection import Expected, Hypothesis, Question
from tests.comparing.folders import IMAGES, Subject, diverged, write_run

FIRST, SECOND = Subject(family="resnet", depth=20), Subject(family="plain", depth=20)


def write(folder: Path, first: Sequence[int], second: Sequence[int]) -> RunSet:
    """Finished runs of two designs that misclassify so many of 360 images, seed by seed."""
    runs = []
    for subject, misses in ((FIRST, first), (SECOND, second)):
        for seed, count in enumerate(misses):
            wrong = [(7 * k + 50 * seed) % IMAGES < count for k in range(IMAGES)]
            runs.append(write_run(folder / f"{subject.family}-{seed}", subject, seed=seed, wrong=wrong))
    question = Question(name="Q", title="Which?", view="runs", runs=tuple(run.folder.name for run in runs))
    return RunSet(question, tuple(run.record() for run in runs))


def asking(run_set: RunSet, expected: Expected, margin: float | None = None, **changes: str) -> RunSet:
    """The run set with a hypothesis about its two designs."""
    hypothesis = Hypothesis(first=FIRST.design, second=SECOND.design, expected=expected, margin=margin, **changes)
    return run_set._replace(question=replace(run_set.question, hypothesis=hypothesis))


@pytest.mark.parametrize(
    ("expected", "margin", "answer"),
    [
        ("lower", None, "supported"),
        ("higher", None, "contradicted"),
        ("not higher", 1.0, "supported"),
        ("equal", 1.0, "contradicted"),
        ("equal", 60.0, "supported"),
    ],
)
def test_a_clear_difference_is_answered(tmp_path: Path, expected: Expected, margin: float | None, answer: str) -> None:
    """The first errs in about 10 of 360 images, the second in about 120: 30 points."""
    [one] = judged([asking(write(tmp_path, (10, 11, 9, 10, 12), (120, 125, 118, 121, 119)), expected, margin)])
    assert one.answer == answer
    assert one.points == pytest.approx(100 * (10.4 - 120.6) / 360)
    assert one.interval is not None
    assert one.interval[0] < one.points < one.interval[1] < 0


def test_what_may_be_chance_stays_undecided(tmp_path: Path) -> None:
    """Seeds that overlap decide neither a side nor a narrow margin."""
    run_set = write(tmp_path, (20, 30, 25, 35), (24, 29, 33, 21))
    answers = judged([asking(run_set, "lower"), asking(run_set, "equal", 0.3), asking(run_set, "not higher", 0.3)])
    assert [one.answer for one in answers] == ["undecided"] * 3


def test_hypotheses_are_tested_together(tmp_path: Path) -> None:
    """One that is significant alone is not among many without an effect."""
    close = write(tmp_path / "close", (20, 22, 21, 23), (26, 25, 27, 24))
    noise = write(tmp_path / "noise", (20, 30, 25, 35), (24, 29, 33, 21))
    [alone] = judged([asking(close, "lower", metric="test_error")])
    many = judged([asking(close, "lower"), *[asking(noise, "lower")] * 30])
    assert many[0].p == alone.p
    assert many[0].p_holm == pytest.approx(min(1.0, 31 * alone.p))
    assert many[0].answer == "undecided"


def test_the_training_loss_is_a_measure(tmp_path: Path) -> None:
    """The difference is that of the losses in evaluation mode, without an interval over images."""
    run_set = write(tmp_path, (10, 10, 10), (10, 10, 10))
    [one] = judged([asking(run_set, "equal", 1.0, metric="train_loss")])
    losses = [run.outcome.train_evaluated.loss for run in run_set.runs if run.outcome.train_evaluated]
    assert one.points == pytest.approx(np.mean(losses[:3]) - np.mean(losses[3:]))
    assert one.answer == "supported"


def test_a_diverged_run_counts_at_chance_level(tmp_path: Path) -> None:
    """With the error of guessing among ten classes."""
    run_set = write(tmp_path, (10, 11, 9, 12), (10, 9, 11, 12))
    run = write_run(tmp_path / "resnet-9", FIRST, seed=9, wrong=[True])
    diverged(run)
    beginning = write(tmp_path / "other", (1, 1), (1, 1)).runs[0].beginning
    lost = replace(beginning, experiment=replace(beginning.experiment, seed=9))
    [one] = judged([asking(run_set, "lower")._replace(diverged=(lost,))])
    assert one.first.values[-1] == pytest.approx(90.0)
    assert one.first.diverged == (9,)


@pytest.mark.parametrize("expected", ["lower", "not higher", "equal"])
def test_answers_are_wrong_as_rarely_as_they_say(expected: Expected) -> None:
    """Of 2,000 studies at the edge of the hypothesis at most about 4.5 % claim anything."""
    margin = None if expected == "lower" else 1.0
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(2000):
        values = (random.normal(margin or 0.0, 0.4, 6), random.normal(0.0, 0.8, 6))
        estimate = estimate_bound(direct_bound(0, 1, 2), Observations(values=values, seeds=(0, 1)))
        wrong += _tested(expected, margin, estimate).p <= CLAIM_LEVEL
    assert wrong < 2000 * 0.065


def test_too_few_runs_are_named(tmp_path: Path) -> None:
    """A hypothesis needs a spread; a question without one needs another verb."""
    run_set = write(tmp_path, (10,), (12, 13))
    with pytest.raises(
        UsageError, match="question Q: resnet:depth=20,base=8 has 1 finished runs; a hypothesis needs two"
    ):
        judged([asking(run_set, "lower")])
    with pytest.raises(UsageError, match="no question here has a hypothesis"):
        judged([run_set])


@pytest.mark.parametrize(
    ("expected", "margin", "words"),
    [
        ("equal", None, 'a hypothesis "equal" needs a margin; got none'),
        ("lower", 0.5, 'a hypothesis "lower" takes no margin; got 0.5'),
        ("not higher", -1.0, "the margin of a hypothesis must be above 0; got -1"),
    ],
)
def test_a_margin_belongs_to_what_is_expected(expected: Expected, margin: float | None, words: str) -> None:
    """Equality and non-inferiority are within a margin, a side is not."""
    with pytest.raises(BlueprintError) as error:
        Hypothesis(first="a", second="b", expected=expected, margin=margin)
    assert words in str(error.value)
