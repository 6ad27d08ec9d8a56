"""Recipes are values that check themselves, and schedules are functions."""

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resatlas.errors import RecipeError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Flip, PadCrop, Standardise
from resatlas.recipes.recipe import Decay, Lamb, Muon, Sgd
from resatlas.recipes.regularisers import BinaryCrossEntropy, CrossEntropy, Cutmix, Ema, Mixup
from resatlas.recipes.schedule import OneCycle, rate

QUICK = NAMED["quick"]

SHARES = st.fractions(Fraction(1, 100), Fraction(99, 100), max_denominator=1000)
PROGRESS = st.fractions(0, 1, max_denominator=10**6)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0, 0.0), (0.125, 0.1), (0.25, 0.2), (0.5, 0.15), (0.625, 0.1), (0.75, 0.05), (1, 0.0)],
)
def test_one_cycle_rises_in_a_line_and_falls_in_half_a_cosine(progress: float, expected: float) -> None:
    """Nothing at 0, the peak after the rise, half of it midway down, nothing at 1."""
    assert rate(OneCycle(peak=0.2, rise=Fraction(1, 4)), Fraction(progress)) == pytest.approx(expected, abs=1e-12)


@given(SHARES, PROGRESS, PROGRESS)
def test_one_cycle_is_monotone_on_both_sides_of_its_peak(rise: Fraction, one: Fraction, other: Fraction) -> None:
    """It never falls before the end of the rise, and never rises after it."""
    schedule = OneCycle(peak=3.0, rise=rise)
    low, high = sorted((one, other))
    before, after = rate(schedule, low), rate(schedule, high)
    assert 0 <= before <= 3.0
    if high <= rise:
        assert before <= after
    elif low >= rise:
        assert before >= after


@given(SHARES, st.floats(1e-6, 1e6))
def test_one_cycle_is_continuous_at_its_peak(rise: Fraction, peak: float) -> None:
    """Both halves meet where the rise ends, and the ends are 0."""
    schedule = OneCycle(peak=peak, rise=rise)
    assert rate(schedule, rise) == pytest.approx(peak)
    assert rate(schedule, rise - Fraction(1, 10**12)) == pytest.approx(peak)
    assert rate(schedule, Fraction(0)) == 0
    assert rate(schedule, Fraction(1)) == pytest.approx(0, abs=1e-12 * peak)


def test_the_quick_recipe_is_as_written_down() -> None:
    """Its numbers are what every result of the demo rests on."""
    assert (QUICK.name, QUICK.epochs, QUICK.batch, QUICK.validation) == ("quick", 6, 64, Fraction(1, 8))
    assert QUICK.optimizer == Muon(momentum=0.9, ratio=0.35)
    assert QUICK.schedule == OneCycle(peak=0.1, rise=Fraction(1, 4))
    assert QUICK.decay == Decay(conv=5e-4, linear=5e-4, norm=0, bias=0)
    assert QUICK.loss == CrossEntropy(smoothing=0.1)
    assert QUICK.steps == (Standardise(), PadCrop(share=Fraction(1, 16)), Flip())


@pytest.mark.parametrize("name", NAMED)
def test_every_recipe_has_its_name_and_a_source(name: str) -> None:
    """What the catalogue calls it is what its runs are called, and each says where it is from."""
    assert NAMED[name].name == name
    assert NAMED[name].source


@pytest.mark.parametrize("value", [0, -1, 10**6 + 1, 10**9])
@pytest.mark.parametrize("field", ["epochs", "batch"])
def test_counts_have_bounds(field: str, value: int) -> None:
    """Epochs and batches are between one and a million."""
    with pytest.raises(RecipeError, match=rf"^{field} must be between 1 and 1,000,000; got {value}$"):
        replace(QUICK, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [Fraction(-1, 8), Fraction(501, 1000), Fraction(1)])
def test_validation_is_at_most_a_half(share: Fraction) -> None:
    """More held back than trained on is a slip."""
    with pytest.raises(RecipeError, match="validation is a share from 0 to 1/2"):
        replace(QUICK, validation=share)


@pytest.mark.parametrize("value", [-0.1, 1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("field", ["conv", "linear", "norm", "bias"])
def test_decays_are_rates_below_one(field: str, value: float) -> None:
    """Negative, infinite and undefined ones are named."""
    with pytest.raises(RecipeError, match=rf"^{field} must be in \[0, 1\); got {value}$"):
        replace(QUICK, decay=Decay(**{field: value}))


@pytest.mark.parametrize("value", [-0.1, 1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("kind", [Sgd, Muon])
def test_momentum_is_a_rate_below_one(kind: type[Sgd | Muon], value: float) -> None:
    """Of every optimizer that has one."""
    with pytest.raises(RecipeError, match=rf"^momentum must be in \[0, 1\); got {value}$"):
        replace(QUICK, optimizer=kind(momentum=value))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: CrossEntropy(smoothing=1.0), r"smoothing must be in \[0, 1\)"),
        (lambda: BinaryCrossEntropy(present_above=math.nan), r"present_above must be in \[0, 1\)"),
        (lambda: Mixup(alpha=0.0), "alpha must be above 0"),
        (lambda: Cutmix(alpha=math.inf), "alpha must be above 0"),
        (lambda: Ema(decay=1.0), "decay of the average must be in"),
        (lambda: Ema(every=0), "an average is taken every 1 to"),
        (lambda: Ema(begins=Fraction(1)), "an average begins at a share from 0 to below 1"),
        (lambda: Lamb(beta2=1.0), "beta2 must be in"),
        (lambda: Lamb(eps=0.0), "eps must be between 0 and 1"),
        (lambda: replace(QUICK, clip=0.0), "clip is a finite norm above 0"),
        (lambda: replace(QUICK, mixed=Fraction(0)), "mixed is a share above 0"),
        (
            lambda: replace(QUICK, mixing=(Mixup(), Mixup(alpha=1.0))),
            "mixing takes each way once; Mixup, Mixup repeats",
        ),
        (lambda: replace(QUICK, stochastic_depth=Fraction(1)), "stochastic_depth is a rate from 0 to below 1"),
        (lambda: Muon(ratio=0.0), "ratio is a finite number above 0; got 0.0"),
        (lambda: Muon(ratio=math.inf), "ratio is a finite number above 0; got inf"),
        (lambda: replace(NAMED["wrn-cifar"], optimizer=Lamb()), "a drop resets the momentum of SGD and Muon alone"),
    ],
)
def test_what_regularises_has_bounds(wrong: Callable[[], object], words: str) -> None:
    """What cannot be done is refused where it is written."""
    with pytest.raises(RecipeError, match=words):
        wrong()


@pytest.mark.parametrize("peak", [0.0, -0.1, math.inf, math.nan])
def test_a_peak_is_finite_and_positive(peak: float) -> None:
    """A schedule without a learning rate learns nothing."""
    with pytest.raises(RecipeError, match="must be finite and above 0"):
        OneCycle(peak=peak)


@pytest.mark.parametrize("rise", [Fraction(0), Fraction(1), Fraction(-1, 4), Fraction(5, 4)])
def test_a_rise_is_a_proper_share(rise: Fraction) -> None:
    """Both halves of the cycle exist."""
    with pytest.raises(RecipeError, match="rises for a share between 0 and 1"):
        OneCycle(peak=0.1, rise=rise)


@pytest.mark.parametrize("share", [Fraction(-1, 8), Fraction(9, 8)])
def test_padding_is_a_share_of_the_image(share: Fraction) -> None:
    """No padding is negative, or wider than the image."""
    with pytest.raises(RecipeError, match="pads by a share from 0 to 1"):
        PadCrop(share=share)


def test_images_take_each_step_once() -> None:
    """Flipping twice is not flipping."""
    with pytest.raises(RecipeError, match="Standardise, Flip, PadCrop, Flip repeats one"):
        replace(QUICK, steps=(Standardise(), Flip(), PadCrop(), Flip()))
