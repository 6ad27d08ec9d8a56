"""Hypotheses of a study: each about two designs, all tested together, with a verdict no stronger than its interval.

supported: the data show what was expected; contradicted: they show the opposite, beyond the margin where there is one;
undecided: both remain possible. p is two-sided and adjusted by Holm over all hypotheses. With a margin it is twice the
smaller p of two one-sided tests: that the difference is within the margin, and that it is beyond.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from resatlas.comparing.bounds import direct_bound
from resatlas.comparing.claims import BoundEstimate, estimate_bound
from resatlas.comparing.comparison import group_draw, misclassified_by_run
from resatlas.comparing.differences import Interval, difference_of
from resatlas.comparing.measures import Measure, measure_of
from resatlas.comparing.questions import Group, group_question
from resatlas.comparing.run_sets import RunSet
from resatlas.comparing.statistics import CLAIM_LEVEL, holm
from resatlas.comparing.verdicts import observations_of
from resatlas.errors import UsageError
from resatlas.runs.collection import Expected, Hypothesis

Answer = Literal["supported", "contradicted", "undecided"]


class _Test(NamedTuple):
    """The p of a hypothesis, and the answer if it is significant."""

    p: float
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A hypothesis with its answer.

    `first` and `second` are the designs with their values. `points` is the mean of the first less that of the second;
    `interval` the 95 % interval over seeds, and over seeds and test images where that is wider; None if nothing varies.
    """

    name: str
    title: str
    hypothesis: Hypothesis
    measure: Measure
    first: Group
    second: Group
    points: float
    interval: Interval | None
    p: float
    p_holm: float
    answer: Answer
    unfinished: tuple[str, ...]


def judged(run_sets: Sequence[RunSet]) -> tuple[Judged, ...]:
    """The hypotheses of the questions that have one, by Holm over all of them.

    Raises: UsageError if there is none, or if a design has fewer than two finished runs.
    """
    asked = [(run_set, run_set.question.hypothesis) for run_set in run_sets]
    alone = [_alone(run_set, hypothesis) for run_set, hypothesis in asked if hypothesis]
    if not alone:
        raise UsageError("no question here has a hypothesis; `resatlas compare` compares designs pair by pair")
    adjusted = holm([one.p for one in alone])
    return tuple(
        replace(one, p_holm=p, answer=one.answer if p <= CLAIM_LEVEL else "undecided")
        for one, p in zip(alone, adjusted, strict=True)
    )


def _alone(run_set: RunSet, hypothesis: Hypothesis) -> Judged:
    """A hypothesis as if it were the only one."""
    measure = measure_of(hypothesis.metric)
    question = group_question(run_set, measure)
    name = run_set.question.name
    for obstacle in question.obstacles:
        raise UsageError(f"question {name}: {obstacle}")
    pair = (_group_of(hypothesis.first, question.groups, name), _group_of(hypothesis.second, question.groups, name))
    asked = replace(question, groups=pair, pairs=(pair,))
    images = group_draw(asked, misclassified_by_run(asked)) if measure.metric == "test_error" else None
    _, observations = observations_of(pair, images)
    bound = direct_bound(0, 1, 2)
    estimate = estimate_bound(bound, observations)
    shown = difference_of([bound], observations, points=measure.usual_difference, level=CLAIM_LEVEL)
    test = _tested(hypothesis.expected, hypothesis.margin, estimate)
    return Judged(
        name=name,
        title=run_set.question.title,
        hypothesis=hypothesis,
        measure=measure,
        first=pair[0],
        second=pair[1],
        points=shown.points,
        interval=_wider(shown.interval_seeds, shown.interval_images),
        p=test.p,
        p_holm=test.p,
        answer=test.answer,
        unfinished=question.unfinished,
    )


def _group_of(design: str, groups: Sequence[Group], name: str) -> Group:
    matching = [group for group in groups if group.experiment.design == design]
    if len(matching) > 1:
        raise UsageError(
            f"question {name}: the runs of {design} are of {len(matching)} experiments that differ in more than seed"
        )
    if not matching or len(matching[0].values) < 2:
        count = len(matching[0].values) if matching else 0
        raise UsageError(f"question {name}: {design} has {count} finished runs; a hypothesis needs two or more")
    return matching[0]


def _tested(expected: Expected, margin: float | None, estimate: BoundEstimate) -> _Test:
    difference = float(estimate.seeds.difference)
    if margin is None:
        as_expected = difference < 0 if expected == "lower" else difference > 0
        return _Test(float(estimate.p), "supported" if as_expected else "contradicted")
    within = float(estimate.p_within(margin, "lower" if expected == "not higher" else "both"))
    beyond = min(_beyond(expected, margin, estimate))
    return _Test(min(1.0, 2 * min(within, beyond)), "supported" if within <= beyond else "contradicted")


def _beyond(expected: Expected, margin: float, estimate: BoundEstimate) -> Iterator[float]:
    """The one-sided p of a difference beyond the margin, on each side that contradicts the hypothesis."""
    yield float(estimate.p_within(-margin, "higher"))
    if expected == "equal":
        yield float(estimate.p_within(-margin, "lower"))


def _wider(*intervals: Interval | None) -> Interval | None:
    known = [interval for interval in intervals if interval is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None
