"""Schedules as functions: each drop, warm-up and plateau at its step, and at the same share of any other length."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resatlas.errors import RecipeError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Recipe, epochs_begun, steps_in_all, steps_per_epoch, with_epochs
from resatlas.recipes.schedule import (
    START,
    Cosine,
    OneCycle,
    Pace,
    Plateau,
    Steps,
    WarmUp,
    after_epoch,
    after_step,
    fallen,
    progress,
    rate,
    shares,
)
from resatlas.recipes.text import changes, render

GOLDEN = Path(__file__).parents[1] / "golden" / "recipes"

TENTH = Fraction(1, 10)


@pytest.mark.parametrize("name", NAMED)
def test_a_recipe_reads_as_its_golden_text(name: str, golden: Callable[[Path, str], None]) -> None:
    """Length, rates, momentum, decay, start, steps on the images with order and fill, views, what is unsettled."""
    golden(GOLDEN / f"{name}.txt", render(NAMED[name]))


def test_no_golden_text_is_left_over() -> None:
    """Every file is of a recipe that exists."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(NAMED)


def slow_changes(recipe: Recipe, steps: int) -> Iterator[tuple[int, float]]:
    """Every step at which the rate is another than before, found by asking for each."""
    before = math.nan
    for step in range(steps):
        now = rate(recipe.schedule, Fraction(step, steps))
        if now != before:
            yield step, now
        before = now


@pytest.mark.parametrize("name", [name for name in NAMED if isinstance(NAMED[name].schedule, Steps)])
@pytest.mark.parametrize("steps", [37, 1600])
def test_the_told_changes_are_those_of_every_step(name: str, steps: int) -> None:
    """What the golden text lists is what a loop over all steps meets, for lengths that no drop divides, too."""
    recipe = NAMED[name]
    assert [(step, now) for step, now, _ in changes(recipe.schedule, steps)] == list(slow_changes(recipe, steps))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wrn-cifar", [(0, 0.1), (59 * 390, 0.02), (119 * 390, 0.004), (159 * 390, 0.0008)]),
        ("resnet-cifar", [(0, 0.1), (32_000, 0.01), (48_000, 0.001)]),
        ("preact-cifar", [(0, 0.01), (400, 0.1), (32_000, 0.01), (48_000, 0.001)]),
        ("fb-cifar", [(0, 0.1), (80 * 391, 0.01), (121 * 391, 0.001)]),
        ("resnext-cifar", [(0, 0.1), (147 * 391, 0.01), (222 * 391, 0.001)]),
        ("pyramidnet-cifar-100", [(0, 0.5), (149 * 391, 0.05), (224 * 391, 0.005)]),
        ("dmrnet-cifar", [(0, 0.1), (200 * 781, 0.01), (300 * 781, 0.001), (350 * 781, 0.0001)]),
    ],
)
def test_drops_come_at_the_authors_iterations(name: str, expected: list[tuple[int, float]]) -> None:
    """Finished epochs times the iterations of an epoch of 50,000 images, exactly."""
    recipe = NAMED[name]
    steps = steps_in_all(recipe, 50_000)
    assert [(step, now) for step, now, _ in changes(recipe.schedule, steps)] == expected
    for step, now in expected[1:]:
        assert rate(recipe.schedule, Fraction(step, steps)) == now != rate(recipe.schedule, Fraction(step - 1, steps))


@pytest.mark.parametrize("name", NAMED)
@given(epochs=st.integers(1, 500), images=st.integers(1, 100_000))
def test_another_number_of_epochs_scales_every_drop_exactly(name: str, epochs: int, images: int) -> None:
    """The drops stand at the same shares, and the length is the epochs asked for."""
    scaled = with_epochs(NAMED[name], epochs)
    assert scaled.schedule == NAMED[name].schedule
    assert steps_in_all(scaled, images) == epochs * steps_per_epoch(scaled, images)
    assert epochs_begun(scaled, images) == epochs


def test_iterations_end_in_the_middle_of_an_epoch() -> None:
    """64,000 iterations are 163 whole epochs of 391 and a part of one."""
    recipe = NAMED["resnet-cifar"]
    assert (steps_per_epoch(recipe, 50_000), steps_in_all(recipe, 50_000)) == (391, 64_000)
    assert epochs_begun(recipe, 50_000) == 164


WARMING = Steps(
    peak=TENTH,
    drops=shares(1, of=2),
    warm_up=WarmUp(rate=Fraction(1, 100), share=Fraction(1, 4), below_percent=Fraction(80)),
)


def test_a_warm_up_ends_with_its_share_or_a_low_error() -> None:
    """Below 80 % of error the full rate comes at the next step, and stays, whatever the error does then."""
    assert rate(WARMING, Fraction(24, 100)) == 0.01
    assert rate(WARMING, Fraction(25, 100)) == 0.1
    pace = after_step(WARMING, Fraction(3, 100), START, step=4, error_percent=80.0)
    assert pace == START
    pace = after_step(WARMING, Fraction(4, 100), pace, step=5, error_percent=79.9)
    assert pace == Pace(warm=5)
    assert after_step(WARMING, Fraction(5, 100), pace, step=6, error_percent=10.0) == pace
    assert rate(WARMING, Fraction(5, 100), pace) == 0.1
    assert rate(WARMING, Fraction(1, 2), pace) == 0.01


def test_a_plateau_falls_after_its_patience() -> None:
    """Three epochs without a lower error are a fall; a lower one begins the count anew."""
    schedule, pace = Plateau(peak=TENTH, patience=3), START
    rates = []
    for error in (50.0, 40.0, 41.0, 42.0, 39.0, 39.0, 39.0, 39.0, 39.0, 39.0, 39.0):
        pace = after_epoch(schedule, pace, error_percent=error)
        rates.append(rate(schedule, Fraction(1, 2), pace))
    assert rates == [0.1] * 7 + [0.01] * 3 + [0.001]
    assert fallen(schedule, Fraction(1, 2), pace) == 2


def test_other_schedules_hear_nothing() -> None:
    """The pace of a schedule by progress alone never changes."""
    for schedule in (OneCycle(peak=0.1), NAMED["wrn-cifar"].schedule):
        assert after_epoch(schedule, START, error_percent=1.0) is START
        assert after_step(schedule, Fraction(0), START, step=1, error_percent=1.0) is START


def epoch_rates(schedule: Cosine, epochs: int, steps: int = 7) -> list[float]:
    """The rate of each epoch, which all of its steps have."""
    found: list[set[float]] = [set() for _ in range(epochs)]
    for step in range(epochs * steps):
        found[step // steps].add(rate(schedule, progress(schedule, step=step, steps=epochs * steps, epoch=steps)))
    assert all(len(each) == 1 for each in found)
    return [each.pop() for each in found]


def test_a_cosine_is_that_of_torch() -> None:
    """With torchvision's arguments: five epochs in a line from a hundredth, then CosineAnnealingLR, epoch by epoch."""
    schedule = Cosine(peak=Fraction(1, 2), warm_up=Fraction(5, 60), start=Fraction(1, 200), moves="epochs")
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    line = torch.optim.lr_scheduler.LinearLR(sgd, start_factor=0.01, total_iters=5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=55)
    theirs = torch.optim.lr_scheduler.SequentialLR(sgd, [line, cosine], milestones=[5])
    expected = []
    for _ in range(60):
        expected.append(sgd.param_groups[0]["lr"])
        sgd.step()
        theirs.step()
    assert epoch_rates(schedule, 60) == pytest.approx(expected, rel=1e-9)


def test_a_cosine_may_count_from_the_start() -> None:
    """As timm's does without a prefix: after the line it goes on where a cosine without warm-up would be."""
    schedule = Cosine(
        peak=Fraction(8, 1000),
        warm_up=Fraction(5, 100),
        start=Fraction(1, 10_000),
        floor=Fraction(1, 10**6),
        counts_from="start",
        moves="epochs",
    )
    line = [1e-4 + epoch * (8e-3 - 1e-4) / 5 for epoch in range(5)]
    cosine = [1e-6 + (8e-3 - 1e-6) * (1 + math.cos(math.pi * epoch / 100)) / 2 for epoch in range(5, 100)]
    assert epoch_rates(schedule, 100) == pytest.approx(line + cosine, rel=1e-12)


@given(
    warm_up=st.fractions(0, Fraction(9, 10), max_denominator=50),
    floor=st.fractions(0, TENTH, max_denominator=1000),
    at=st.fractions(0, 1, max_denominator=10**4),
)
def test_a_cosine_by_steps_is_a_rise_and_a_fall(warm_up: Fraction, floor: Fraction, at: Fraction) -> None:
    """Between start and peak before the end of the warm-up, between peak and floor after it, the floor at the end."""
    schedule = Cosine(peak=TENTH, warm_up=warm_up, start=TENTH / 100, floor=floor)
    low = TENTH / 100 if at < warm_up else floor
    assert float(low) - 1e-12 <= rate(schedule, at) <= 0.1 + 1e-12
    assert rate(schedule, warm_up) == pytest.approx(0.1)
    assert rate(schedule, Fraction(1)) == pytest.approx(float(floor), abs=1e-12)
    assert progress(schedule, step=3, steps=10, epoch=2) == Fraction(3, 10)


@pytest.mark.parametrize("drops", [(Fraction(1, 2), Fraction(1, 4)), (Fraction(0),), (Fraction(1),), (TENTH, TENTH)])
def test_drops_are_growing_shares(drops: tuple[Fraction, ...]) -> None:
    """Each comes after the one before, and before the end."""
    with pytest.raises(RecipeError, match="drops are growing shares between 0 and 1"):
        Steps(peak=TENTH, drops=drops)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Steps(peak=Fraction(0), drops=()),
        lambda: Steps(peak=TENTH, drops=(), factor=Fraction(1)),
        lambda: Plateau(peak=Fraction(-1), patience=3),
        lambda: Plateau(peak=TENTH, patience=0),
        lambda: WarmUp(rate=Fraction(0), share=TENTH),
        lambda: WarmUp(rate=TENTH, share=Fraction(2)),
        lambda: Cosine(peak=Fraction(0)),
        lambda: Cosine(peak=TENTH, floor=Fraction(2, 10)),
        lambda: Cosine(peak=TENTH, start=Fraction(-1)),
    ],
)
def test_schedules_check_themselves(wrong: Callable[[], object]) -> None:
    """Rates, factors, shares and patience have bounds."""
    with pytest.raises(RecipeError, match=r"must be between|must be in|lasts 1 epoch or more"):
        wrong()
