"""Values of tasks: stored as data, and refused where they make no sense."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from resatlas.errors import RecipeError
from resatlas.recipes.detection import (
    C4,
    Classify,
    DeepLab,
    Detect,
    Detections,
    Fpn,
    Frozen,
    Masks,
    Proposals,
    Regions,
    Resized,
    Segment,
)
from resatlas.values.codec import decode, encode


@pytest.mark.parametrize(
    "task",
    [Detect(), Detect(head=C4(), sides=Resized(), frozen=Frozen(stages=2), masks=Masks()), Segment(head=DeepLab())],
)
def test_tasks_are_data(task: Detect | Segment) -> None:
    """They can be written as JSON values and read again."""
    assert decode(type(task), encode(task), where="task") == task


def test_tasks_are_compared() -> None:
    """Equal values are equal tasks."""
    assert Detect() == Detect(head=Fpn())
    assert Classify() == Classify()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: C4(pooled=0), "pooled must be at least 1; got 0"),
        (lambda: C4(anchors=()), "at least one share"),
        (lambda: C4(anchors=(Fraction(3, 2),)), "anchors must be above 0 and at most 1; got 3/2"),
        (lambda: Fpn(channels=0), "channels must be at least 1; got 0"),
        (lambda: Resized(shorter=800, longest=600), "longest must be at least shorter, 800; got 600"),
        (lambda: Proposals(before=(2000,)), "before has two numbers, for training and for testing"),
        (lambda: Proposals(above=0.3, below=0.5), r"below must be at most above, 0.3; got 0.5"),
        (lambda: Regions(above=1.5), r"above must be in \[0, 1\]; got 1.5"),
        (lambda: Detections(most=0), "most must be at least 1; got 0"),
        (lambda: Masks(layers=0), "layers must be at least 1; got 0"),
        (lambda: Frozen(stages=-1), "stages is a number of stages from 0 on; got -1"),
        (lambda: Detect(ratios=(0.5, -1)), "ratios of anchors are positive numbers"),
        (lambda: DeepLab(rates=()), "rates needs at least one"),
        (lambda: Segment(weights=(1, 0)), "weights of classes are positive"),
    ],
)
def test_impossible_values(made: Callable[[], object], said: str) -> None:
    """The error says what was given and what is allowed."""
    with pytest.raises(RecipeError, match=said):
        made()
