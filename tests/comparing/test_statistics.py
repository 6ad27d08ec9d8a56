"""Coverage of the intervals, power of the tests, and each statistic against an independent derivation."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations, product
from statistics import fmean, stdev, variance

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resatlas.comparing import statistics
from resatlas.comparing.power import (
    POWER,
    PairedScheme,
    PooledScheme,
    Scheme,
    WelchScheme,
    degrees_of,
    detectable,
    deviation_factors,
    error_of,
    nets_needed,
    power,
    with_nets,
)
from resatlas.comparing.robust_tests import (
    LEAST_NETWORKS,
    bootstrap_p,
    least_bootstrap_p,
    least_rank_p,
    mcnemar_p,
    rank_p,
)
from resatlas.comparing.statistics import (
    LEVEL,
    Estimate,
    correlated,
    correlation,
    difference,
    holm,
    interval,
    moments,
    p_value,
    paired,
    pooled,
    welch,
)

STUDIES = 40_000
"""Simulated studies: three standard errors of a share of 95 % are 0.33 points."""

DIRECT = (1.0, -1.0)

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@cache
def errors(designs: int, nets: int, *, shared: float = 0.0, random_seed: int = 0) -> Array:
    """Errors of equal designs, studies x designs x networks; `shared` is the correlation over seeds."""
    random = np.random.default_rng(random_seed)
    seeds = random.standard_normal((STUDIES, 1, nets))
    own = random.standard_normal((STUDIES, designs, nets))
    return math.sqrt(shared) * seeds + math.sqrt(1 - shared) * own


def covered(estimate: Estimate, truth: float = 0.0) -> float:
    """The share of 95 % intervals that contain the truth, in percent."""
    low, high = interval(estimate)
    return 100 * float(((low <= truth) & (truth <= high)).mean())


def as_used(drawn: Array, first: int = 0, second: int = 1) -> tuple[Estimate, np.ndarray]:
    """The whole procedure on two of the designs, including the choice of the method."""
    designs = [moments(drawn[:, design]) for design in range(drawn.shape[1])]
    return difference(drawn[:, first], drawn[:, second], designs, seeds="shared")


@pytest.mark.parametrize("nets", [3, 5, 10])
def test_pooled_intervals_cover_95_percent(nets: int) -> None:
    """94 to 96 % with few networks and with many, of two designs and of five."""
    for designs in (2, 5):
        sides = [moments(errors(designs, nets)[:, design]) for design in range(designs)]
        assert 94 <= covered(pooled(DIRECT, sides[:2], sides)) <= 96


@pytest.mark.parametrize(("nets", "most"), [(3, 97.5), (5, 96.0), (10, 96.0)])
def test_intervals_of_welch_cover_95_percent(nets: int, most: float) -> None:
    """94 to 96 %, up to 97.5 % with three networks; also if one design's deviation is twice the other's."""
    one, other = errors(2, nets)[:, 0], errors(2, nets)[:, 1]
    for factor in (1, 2):
        assert 94 <= covered(welch(DIRECT, [moments(one), moments(factor * other)])) <= most


@pytest.mark.parametrize(("nets", "most"), [(3, 97.5), (5, 96.0), (10, 96.0)])
def test_the_procedure_as_used_covers_95_percent(nets: int, most: float) -> None:
    """Choosing between Welch, pooling and pairing from the same data does not lower the coverage."""
    for designs in (2, 4):
        estimate, methods = as_used(errors(designs, nets))
        assert 94 <= covered(estimate) <= most
        assert set(np.unique(methods)) >= {"Welch", "pooled"}


@pytest.mark.parametrize("nets", [3, 5, 10])
@pytest.mark.parametrize("spread", [2, 4])
def test_the_procedure_survives_unequal_deviations(nets: int, spread: int) -> None:
    """If two of four designs vary more, the coverage is at least 93.5 % for pairs within and between the two kinds."""
    drawn = errors(4, nets) * np.array([1, 1, spread, spread])[:, None]
    for first, second in ((0, 1), (0, 3), (2, 3)):
        assert covered(as_used(drawn, first, second)[0]) >= 93.5
    always = [moments(drawn[:, design]) for design in range(4)]
    assert covered(pooled(DIRECT, always[2:], always)) < 89, "pooling without the rule covers too rarely"


@pytest.mark.parametrize("shared", [0.4, 0.8, 0.95])
def test_the_procedure_survives_correlated_seeds(shared: float) -> None:
    """Never below 94 %, whether the correlation is significant or not; designs with a strong one are paired."""
    for nets in (3, 5, 10):
        estimate, methods = as_used(errors(2, nets, shared=shared))
        assert covered(estimate) >= 94
        assert nets > 3 or "paired" not in methods
    assert (as_used(errors(2, 10, shared=0.95))[1] == "paired").mean() > 0.98


def test_intervals_hold_a_true_difference() -> None:
    """A true difference has the same coverage as no difference."""
    drawn = errors(3, 5) + np.array([1.3, 0, 0])[:, None]
    assert 94 <= covered(as_used(drawn)[0], truth=1.3) <= 96


def test_interpolated_errors_are_covered() -> None:
    """A design against a point between two sizes of another, whose deviations differ."""
    drawn = errors(3, 5) * np.array([1, 1, 1.5])[:, None]
    sides = [moments(drawn[:, design]) for design in range(3)]
    assert 94 <= covered(welch((1.0, -0.3, -0.7), sides)) <= 96.5


def test_holm_keeps_the_level_over_a_question() -> None:
    """At most 5 % of questions about four equal designs have a claim about any of the six pairs."""
    for nets in (3, 5):
        drawn = errors(4, nets)[:20_000]
        p_values = [p_value(as_used(drawn, *pair)[0]) for pair in combinations(range(4), 2)]
        assert (np.min(p_values, axis=0) < LEVEL / 6).mean() < 0.053, "Holm's first step decides on any claim"


SCHEMES: Sequence[Scheme] = (
    WelchScheme(weights=DIRECT, deviations=(1.0, 1.0), counts=(3, 3)),
    WelchScheme(weights=DIRECT, deviations=(1.0, 3.0), counts=(3, 5)),
    WelchScheme(weights=DIRECT, deviations=(1.0, 1.0), counts=(10, 10)),
    PooledScheme(weights=DIRECT, deviation=1.0, counts=(3, 3), all_counts=(3, 3, 3)),
    PooledScheme(weights=DIRECT, deviation=1.0, counts=(5, 10), all_counts=(5, 10)),
    PairedScheme(deviation=1.0, count=5),
)


def detected(scheme: Scheme, points: float, level: float) -> float:
    """The share of simulated studies with a significant difference, if there is one of this many points."""
    random = np.random.default_rng(1)
    match scheme:
        case PairedScheme():
            pairs = random.normal(points, scheme.deviation, (STUDIES, scheme.count))
            p_values = p_value(paired(pairs, np.zeros_like(pairs)))
        case WelchScheme():
            parts = zip((points, 0.0), scheme.deviations, scheme.counts, strict=True)
            p_values = p_value(welch(DIRECT, [moments(random.normal(m, s, (STUDIES, n))) for m, s, n in parts]))
        case PooledScheme():
            means = (points, *(0.0 for _ in scheme.all_counts[1:]))
            sides = [
                moments(random.normal(m, scheme.deviation, (STUDIES, n)))
                for m, n in zip(means, scheme.all_counts, strict=True)
            ]
            p_values = p_value(pooled(DIRECT, sides[:2], sides))
    return float((p_values < level).mean())


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_detectable_differences_have_the_stated_power(scheme: Scheme) -> None:
    """The smallest detectable difference is detected in 80 % of studies, alone and as the first of ten by Holm."""
    for level in (LEVEL, LEVEL / 10):
        points = detectable(scheme, level=level)
        assert detected(scheme, points, level) == pytest.approx(POWER, abs=0.007)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_the_networks_needed_are_the_fewest_that_detect(scheme: Scheme) -> None:
    """They detect the difference in 80 % of studies, one network fewer does not."""
    nets = nets_needed(scheme, 1.5)
    assert nets is not None
    enough, fewer = (detected(with_nets(scheme, count), 1.5, LEVEL) for count in (nets, nets - 1))
    assert enough >= POWER - 0.007
    assert fewer < POWER + 0.007
    assert power(with_nets(scheme, nets - 1), 1.5) < POWER <= power(with_nets(scheme, nets), 1.5)


def test_the_number_of_networks_needed_has_a_limit() -> None:
    """There is no number for a difference that is too small."""
    assert nets_needed(SCHEMES[0], 0.01) is None


def test_a_power_that_scipy_computes() -> None:
    """The quadrature equals the noncentral t of scipy where both apply."""
    scheme = PooledScheme(weights=DIRECT, deviation=2.0, counts=(5, 7), all_counts=(5, 7, 5))
    shift, degrees = 3 / (2 * math.sqrt(1 / 5 + 1 / 7)), 14
    limit = stats.t.isf(0.025, degrees)
    expected = stats.nct.sf(limit, degrees, shift) + stats.nct.cdf(-limit, degrees, shift)
    assert power(scheme, 3.0) == pytest.approx(float(expected), abs=1e-5)
    assert power(scheme, 0.0) == pytest.approx(LEVEL, abs=1e-5)


def test_a_deviation_lies_in_its_own_interval() -> None:
    """The interval of the deviation, and so of the detectable difference, contains the truth in 95 % of studies."""
    for nets in (3, 10):
        deviation = moments(errors(2, nets)[:, 0]).variance ** 0.5
        low, high = deviation_factors(nets - 1)
        assert 100 * ((low * deviation <= 1) & (high * deviation >= 1)).mean() == pytest.approx(95, abs=0.4)


# ------------------------------------------------------------------------------------- against other derivations

few = st.lists(st.integers(0, 400).map(lambda n: n / 16), min_size=2, max_size=8)


@given(few, few)
def test_welch_is_that_of_scipy(first: list[float], second: list[float]) -> None:
    """p, degrees of freedom and interval agree; exchanged sides change the sign of the difference."""
    if not variance(first) or not variance(second):  # scipy warns
        return
    ours = welch(DIRECT, [moments(first), moments(second)])
    theirs = stats.ttest_ind(first, second, equal_var=False)
    assert p_value(ours) == pytest.approx(theirs.pvalue, abs=1e-9)
    assert float(ours.degrees) == pytest.approx(theirs.df)
    assert interval(ours) == pytest.approx(theirs.confidence_interval(0.95))
    back = welch(DIRECT, [moments(second), moments(first)])
    assert (float(back.difference), float(back.error)) == pytest.approx((-float(ours.difference), float(ours.error)))


def test_pooled_is_that_of_scipy() -> None:
    """For two designs; for three the deviation is estimated from all of them."""
    a, b, c = [1.0, 2.0, 4.0], [2.0, 2.5, 7.0, 1.0], [0.0, 3.0]
    ours = pooled(DIRECT, [moments(a), moments(b)], [moments(a), moments(b)])
    assert p_value(ours) == pytest.approx(stats.ttest_ind(a, b).pvalue)
    ours = pooled(DIRECT, [moments(a), moments(b)], [moments(design) for design in (a, b, c)])
    square = (2 * variance(a) + 3 * variance(b) + variance(c)) / 6
    assert float(ours.error) == pytest.approx(math.sqrt(square * (1 / 3 + 1 / 4)))
    assert float(ours.degrees) == 6


def test_paired_is_that_of_scipy() -> None:
    """It depends only on the differences of the pairs."""
    a, b = [1.0, 2.0, 4.0, 4.5, 6.0], [0.5, 2.0, 3.0, 4.0, 5.5]
    assert p_value(paired(a, b)) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert float(correlation(a, b)) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert bool(correlated(correlation(a, b), 5)) == (stats.pearsonr(a, b, alternative="greater").pvalue < 0.01)


@given(st.floats(-1, 1), st.integers(5, 30))
def test_a_correlation_is_tested_by_its_p(r: float, pairs: int) -> None:
    """The limit of r has a one-sided p of 1 %, or of 5 % below 0; fewer than five pairs are never significant."""
    t = r * math.sqrt((pairs - 2) / max(1 - r * r, 1e-300))
    above, below = stats.t.sf(t, pairs - 2), stats.t.cdf(t, pairs - 2)
    if min(abs(above - 0.01), abs(below - 0.05)) > 1e-9:
        assert bool(correlated(r, pairs)) == (above < 0.01 or below < 0.05)
    assert not correlated(1.0, 4)


def test_a_correlation_with_a_constant_is_not_a_number() -> None:
    """There is no warning of a division by zero, and no pairing."""
    assert math.isnan(correlation([1.0] * 6, [1.0, 2, 3, 4, 5, 6]))
    assert not correlated(math.nan, 6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    """Each p is the largest, over all sets that contain it, of the set's size times its least p."""
    places = range(len(p_values))
    sets = [chosen for size in places for chosen in combinations(places, size + 1)]
    slow = [max(min(1.0, len(s) * min(p_values[k] for k in s)) for s in sets if place in s) for place in places]
    assert holm(p_values) == pytest.approx(slow)


@given(st.permutations(range(8)), st.integers(2, 6))
def test_the_least_rank_p_is_never_undercut(ranks: list[int], n: int) -> None:
    """P is the share of all ways to assign the ranks that are at least as extreme, and is at least the least p."""
    first, second = ranks[:n], ranks[n:]
    middle = sum(ranks) * n / len(ranks)
    ways = [abs(sum(chosen) - middle) for chosen in combinations(ranks, n)]
    share = sum(way >= abs(sum(first) - middle) - 1e-9 for way in ways) / len(ways)
    assert rank_p(first, second) == pytest.approx(min(1.0, share))
    assert share >= least_rank_p(n, len(second)) - 1e-12
    assert rank_p(range(n), range(10, 18)) == pytest.approx(least_rank_p(n, 8))


def test_the_bootstrap_is_the_share_of_all_resamples() -> None:
    """All 27 x 27 resamples of three networks each, against the random ones."""
    first, second = [1.0, 2.0, 4.0], [3.0, 4.5, 7.0]

    def t_of(a: Sequence[float], b: Sequence[float], truth: float) -> float:
        error = math.sqrt(variance(a) / 3 + variance(b) / 3)
        return math.inf if error == 0 else abs(fmean(a) - fmean(b) - truth) / error

    observed, truth = t_of(first, second, 0.0), fmean(first) - fmean(second)
    every = [t_of(a, b, truth) for a in product(first, repeat=3) for b in product(second, repeat=3)]
    share = sum(resample >= observed for resample in every) / len(every)
    assert bootstrap_p(first, second) == pytest.approx(share, abs=0.015)
    assert bootstrap_p(second, first[::-1]) == bootstrap_p(first, second)
    far = [error + 1e6 for error in second]
    assert bootstrap_p(first, far) == pytest.approx(least_bootstrap_p(3, 3), abs=0.004)


@pytest.mark.parametrize(("alone", "rest"), [(0, 0), (0, 1), (3, 9), (10, 10), (40, 18)])
def test_mcnemar_is_a_fair_coin(alone: int, rest: int) -> None:
    """It is twice the probability of at most this many heads, and at most 1."""
    n, k = alone + rest, min(alone, rest)
    slow = min(1.0, 2 * sum(math.comb(n, heads) for heads in range(k + 1)) / 2**n)
    assert mcnemar_p(alone, rest) == mcnemar_p(rest, alone) == pytest.approx(slow)


def test_equal_values_do_not_vary() -> None:
    """Their variance is exactly 0, although tenths have rounding errors."""
    equal = moments([0.1] * 3)
    assert (float(equal.variance), float(equal.mean)) == (0.0, 0.1)
    values = [0.3, 0.5, 1.7]
    assert float(moments(values).variance) == pytest.approx(stdev(values) ** 2)


def test_schemes_agree_with_their_estimates() -> None:
    """A scheme from the observed deviations has the error and degrees of the difference itself."""
    a, b = [1.0, 2.0, 4.0], [2.0, 2.5, 7.0, 1.0]
    sides = [moments(a), moments(b)]
    both = (welch(DIRECT, sides), pooled(DIRECT, sides, sides))
    deviation = math.sqrt((2 * variance(a) + 3 * variance(b)) / 5)
    schemes: tuple[Scheme, Scheme] = (
        WelchScheme(weights=DIRECT, deviations=(stdev(a), stdev(b)), counts=(3, 4)),
        PooledScheme(weights=DIRECT, deviation=deviation, counts=(3, 4), all_counts=(3, 4)),
    )
    for estimate, scheme in zip(both, schemes, strict=True):
        assert error_of(scheme) == pytest.approx(float(estimate.error))
        assert degrees_of(scheme) == pytest.approx(float(estimate.degrees))


def test_rules_are_those_that_were_decided() -> None:
    """They are the numbers of docs/decisions/0005, for which the simulations above hold."""
    assert (
        statistics.POOLING_RATIO,
        statistics.LEAST_PAIRS,
        statistics.PAIRING_LEVEL,
        LEAST_NETWORKS,
    ) == (1.5, 5, 0.01, 10)
