"""Effects of planted factorial studies are found, with intervals that hold what they promise."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from resatlas.comparing.effects import (
    columns,
    effects_of,
    half_normal,
    lenth,
    logit,
    means_of,
    ranks,
    with_covariate,
)
from resatlas.errors import UsageError

FACTORS = ("widths", "streams", "groups", "unit", "shape")
HALF = [(*cell, math.prod(cell)) for cell in product((-1, 1), repeat=4)]  # 2^(5-1) with E = ABCD
LEVELS = dict(zip(FACTORS, map(tuple, zip(*HALF, strict=True)), strict=True))
CELLS = len(HALF)


def planted(effects: dict[tuple[str, ...], float], *, blocks: int, noise: float, seed: int = 0) -> np.ndarray:
    """Values with these effects, a shift for each block, and normal noise."""
    draw = np.random.default_rng(seed)
    values = draw.normal(scale=3, size=blocks) + noise * draw.normal(size=(CELLS, blocks))
    for factors, effect in effects.items():
        values = values + effect / 2 * np.prod([LEVELS[factor] for factor in factors], axis=0)[:, None]
    return values


def test_planted_effects_without_noise_are_exact() -> None:
    """Two main effects and an interaction come out as they went in, all others as nothing."""
    truth: dict[tuple[str, ...], float] = {("widths",): 1.5, ("unit",): -0.25, ("streams", "shape"): 0.5}
    found = effects_of(LEVELS, planted(truth, blocks=3, noise=0))
    assert {effect.factors: round(effect.estimate, 9) for effect in found.effects} == {
        effect.factors: truth.get(effect.factors, 0) for effect in found.effects
    }
    assert found.deviation == pytest.approx(0, abs=1e-9)


def test_main_effects_come_first() -> None:
    """Five main effects in the order of the factors, then ten interactions."""
    found = effects_of(LEVELS, planted({}, blocks=2, noise=1))
    assert [effect.factors for effect in found.effects] == [(name,) for name in FACTORS] + list(
        combinations(FACTORS, 2)
    )
    assert [effect.order for effect in found.effects] == ["main"] * 5 + ["interaction"] * 10
    assert found.effects[5].name == "widths x streams"


def test_it_is_the_least_squares_fit() -> None:
    """Estimates, deviation and intervals are those of ordinary least squares over blocks and columns."""
    values = planted({("widths",): 1.0}, blocks=4, noise=0.7, seed=3)
    found = effects_of(LEVELS, values)
    blocks = np.tile(np.eye(4), (CELLS, 1))
    effects = np.repeat(np.column_stack([column / 2 for column in columns(LEVELS).values()]), 4, axis=0)
    design = np.hstack([blocks, effects])
    fit, rest, *_ = np.linalg.lstsq(design, values.ravel())
    degrees = 4 * CELLS - design.shape[1]
    assert found.degrees == degrees == 15 * 3
    assert found.deviation == pytest.approx(math.sqrt(rest[0] / degrees))
    error = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * rest[0] / degrees)[4:]
    for effect, estimate, deviation in zip(found.effects, fit[4:], error, strict=True):
        assert effect.estimate == pytest.approx(estimate)
        assert effect.high - effect.estimate == pytest.approx(stats.t.ppf(0.975, degrees) * deviation)
        assert effect.p == pytest.approx(2 * stats.t.sf(abs(estimate) / deviation, degrees))


def test_holm_counts_the_effects_of_an_order() -> None:
    """The smallest p of five main effects counts five times, that of ten interactions ten times."""
    found = effects_of(LEVELS, planted({("unit",): 1.0, ("widths", "unit"): 1.0}, blocks=3, noise=0.8))
    mains = [effect for effect in found.effects if effect.order == "main"]
    pairs = [effect for effect in found.effects if effect.order == "interaction"]
    for effects, count in ((mains, 5), (pairs, 10)):
        smallest = min(effects, key=lambda effect: effect.p)
        assert smallest.adjusted == pytest.approx(count * smallest.p)


def test_intervals_hold_and_false_claims_are_rare() -> None:
    """Over 400 planted studies 95 % intervals hold the truth in 93 to 97 %, and Holm's claims err in at most 7 %."""
    truth: dict[tuple[str, ...], float] = {("widths",): 0.5, ("groups", "unit"): -0.4}
    held: list[bool] = []
    false = 0
    for seed in range(400):
        found = effects_of(LEVELS, planted(truth, blocks=3, noise=1, seed=seed)).effects
        held += [effect.low <= truth.get(effect.factors, 0) <= effect.high for effect in found]
        false += any(e.adjusted < 0.05 for e in found if e.order == "main" and e.factors not in truth)
    assert 0.93 < np.mean(held) < 0.97
    assert false / 400 <= 0.07


def test_one_block_uses_lenth() -> None:
    """Without repetition a large effect stands out of the others, by Lenth's error with a third of their number."""
    found = effects_of(LEVELS, planted({("streams",): 8.0}, blocks=1, noise=0.5))
    assert found.degrees == 5
    [large] = [effect for effect in found.effects if effect.adjusted < 0.05]
    assert large.factors == ("streams",)
    assert large.high - large.estimate == pytest.approx(stats.t.ppf(0.975, 5) * found.lenth.error)


def test_lenth_s_margins() -> None:
    """Of 1 to 9 and 100: the median of all is 5.5, of those below 20.625 it is 5, so the error is 7.5."""
    margins = lenth([1, -2, 3, -4, 5, 6, 7, 8, 9, 100])
    assert margins.error == 7.5
    assert margins.margin == pytest.approx(7.5 * stats.t.ppf(0.975, 10 / 3))
    assert margins.simultaneous == pytest.approx(7.5 * stats.t.ppf((1 + 0.95**0.1) / 2, 10 / 3))
    assert lenth([0.0, 0.0, 0.0]).error == 0


def test_a_half_normal_plot_of_noise_is_a_line() -> None:
    """Quantiles rise with the size of the effects; of 15, the middle one lies at the median of the distribution."""
    points = half_normal(effects_of(LEVELS, planted({}, blocks=2, noise=1)).effects)
    sizes = [abs(effect.estimate) for _, effect in points]
    assert sizes == sorted(sizes)
    assert points[7][0] == pytest.approx(stats.halfnorm.median())


def test_an_interaction_is_four_means() -> None:
    """An effect of 2 of one factor alone gives means one above and one below; the other factor changes nothing."""
    values = np.array(LEVELS["unit"], float)[:, None] * np.ones((1, 2))
    assert means_of(LEVELS, values, "unit", "shape") == {(-1, -1): -1, (-1, 1): -1, (1, -1): 1, (1, 1): 1}


def test_a_covariate_takes_its_share() -> None:
    """Responses that follow the covariate alone have no main effect beside it."""
    covariate = np.random.default_rng(1).normal(size=CELLS) + np.array(LEVELS["widths"])
    values = (3 * covariate + 1e-6 * np.random.default_rng(2).normal(size=CELLS))[:, None]
    *mains, slope = with_covariate(LEVELS, values, covariate.tolist())
    assert slope.estimate == pytest.approx(3, abs=1e-5)
    assert max(abs(effect.estimate) for effect in mains) < 1e-5
    with pytest.raises(UsageError, match="follows from the factors"):
        with_covariate(LEVELS, values, LEVELS["shape"])


def test_factors_that_cannot_be_separated_are_refused() -> None:
    """Aliased, unbalanced and constant factors, and cells listed twice, each in words."""
    half = list(product((-1, 1), repeat=2))
    a, b = (tuple(level) for level in zip(*half, strict=True))
    product_of_both = tuple(x * y for x, y in half)
    for levels, words in (
        ({"a": a, "b": b, "c": product_of_both}, "factors alias: a and b x c"),
        ({"a": a, "b": (1, 1, 1, 1)}, "factor b has one level in all cells"),
        ({"a": (-1, -1, 1), "b": (-1, 1, 1)}, "factor a has \\+ in 1 of 3 cells"),
        ({"a": a, "b": a}, "two cells have the levels"),
        ({"a": (-1, -1, -1, 1, 1, 1), "b": (-1, -1, 1, 1, 1, -1)}, "two cells have"),
    ):
        with pytest.raises(UsageError, match=words):
            columns(levels)


def test_values_of_other_cells_are_refused() -> None:
    """The error has both shapes."""
    with pytest.raises(UsageError, match=r"16 cells, the values have shape \(15, 2\)"):
        effects_of(LEVELS, np.zeros((15, 2)))


def test_residuals_show_a_value_that_does_not_fit() -> None:
    """One value far off is named by cell and block, and the residuals are not normal."""
    values = planted({}, blocks=5, noise=0.1)
    values[6, 2] += 4
    checks = effects_of(LEVELS, values).checks
    assert (checks.largest_cell, checks.largest_block) == (6, 2)
    assert checks.largest > 3
    assert checks.normal_p < 1e-6


def test_errors_of_nothing_and_of_everything_have_a_logit() -> None:
    """Half an image more on either side: finite, and 0 for half of the images."""
    assert logit(0, 100) == -logit(100, 100) == pytest.approx(math.log(0.5 / 100.5))
    assert logit(50, 100) == 0


def test_ranks_are_within_blocks() -> None:
    """A value of infinity counts as the last; equal values share their mean rank."""
    assert ranks(np.array([[1.0, 5.0], [math.inf, 5.0], [2.0, 1.0]])).tolist() == [[1, 2.5], [3, 2.5], [2, 1]]
