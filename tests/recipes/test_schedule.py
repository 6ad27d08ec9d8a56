"""Schedules as functions: each drop, warm-up and plateau at its step, and at the same share of any other length."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resatlas.errors import RecipeError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Recipe, epochs_begun, steps_in_all, steps_per_epoch, with_epochs
from resatlas.recipes.schedule import (
    START,
    OneCycle,
    Pace,
    Plateau,
    Steps,
    WarmUp,
    after_epoch,
    after_step,
    fallen,
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
    ],
)
def test_schedules_check_themselves(wrong: Callable[[], object]) -> None:
    """Rates, factors, shares and patience have bounds."""
    with pytest.raises(RecipeError, match=r"lies between|lasts 1 epoch or more"):
        wrong()
