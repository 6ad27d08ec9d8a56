"""The simulations: tables with a row per setting and a column per number of seeds, in percent of the studies."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from resatlas.comparing.bounds import claim, comparable_amounts, direct_bound
from resatlas.comparing.claims import Observations, decide, estimate_bound, judge, widened_interval
from resatlas.comparing.global_test import global_p
from resatlas.comparing.image_draw import ImageDraw, image_draw
from resatlas.comparing.power import Allowance, WelchScheme, detectable, nets_needed
from resatlas.comparing.statistics import CLAIM_LEVEL, holm_by_study, moments, p_value
from resatlas.comparing.trend import Size, trend
from tests.simulation.planted import (
    LAWS,
    LAYOUTS,
    NOISES,
    Array,
    Law,
    Noise,
    draw_errors,
    expected_error,
    normal,
    opposed,
)

SEEDS = (2, 3, 5, 10)
DEVIATIONS = (0.1, 0.3, 1.0)

AT_ONCE = 2_000_000
"""Predictions that are in memory at one time."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A setting with one value, in percent, per number of seeds; nan if it has none."""

    setting: str
    figures: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A simulated quantity, the percentages between which it should lie, and its rows."""

    name: str
    title: str
    low: float
    high: float
    rows: tuple[Row, ...]

    def outside(self, below: float, above: float) -> tuple[Row, ...]:
        """Rows with a value more than `below` or `above` outside of the wanted range, or without any value."""
        return tuple(row for row in self.rows if not self._inside(row, below, above))

    def _inside(self, row: Row, below: float, above: float) -> bool:
        known = [figure for figure in row.figures if not math.isnan(figure)]
        return bool(known) and all(self.low - below <= figure <= self.high + above for figure in known)


def false_verdicts(studies: int, layouts: Sequence[str] = tuple(LAYOUTS), laws: Sequence[str] = tuple(LAWS)) -> Table:
    """Claims about two kinds that are false at one of their amounts, for the worst deviation."""
    rows = [
        Row(
            setting=f"{law}; {layout}",
            figures=tuple(max(_false(law, layout, n, sd, studies) for sd in DEVIATIONS) for n in SEEDS),
        )
        for layout in layouts
        for law in laws
    ]
    title = "Studies with a false “supported”, “contradicted” or “depends”, two kinds; worst deviation of 0.1, 0.3, 1"
    return Table(name="laws", title=title, low=0.0, high=5.0, rows=tuple(rows))


def _false(law: str, layout: str, seeds: int, deviation: float, studies: int) -> float:
    random = np.random.default_rng([seeds, int(10 * deviation), len(law), len(layout)])
    (first, second), (ours, theirs) = LAWS[law], LAYOUTS[layout]
    amounts = [*ours, *theirs]
    kinds = ["ours"] * len(ours) + ["theirs"] * len(theirs)
    means = np.array([first(np.array(x)) for x in ours] + [second(np.array(x)) for x in theirs])
    drawn = means[:, None] + deviation * normal(random, studies, len(amounts), seeds)
    observations = Observations(values=tuple(np.moveaxis(drawn, 1, 0)), seeds=(0,) * len(amounts))
    pairs = [(i, len(ours) + j) for i in range(len(ours)) for j in range(len(theirs))]
    comparable = [at for pair in pairs if (at := comparable_amounts(*pair, amounts, kinds))]
    judgements = [judge(tuple(ways for _, ways in at), observations) for at in comparable]
    wrong = np.zeros(studies, dtype=bool)
    for at, judgement, verdict in zip(comparable, judgements, decide(judgements), strict=True):
        for (amount, _), side in zip(at, judgement.sides, strict=True):
            truth = np.sign(_difference(first, second, amount))
            wrong |= (verdict != 0) & (side != truth)
    return 100 * float(wrong.mean())


def _difference(first: Law, second: Law, amount: float) -> float:
    return float(np.round(first(np.array(amount)) - second(np.array(amount)), 9))


def equal_designs(studies: int, designs: Sequence[int] = (2, 4, 8), noises: Mapping[str, Noise] = NOISES) -> Table:
    """Studies with any claim about a pair of equal designs at an equal budget."""

    def share(noise: Noise, count: int, seeds: int) -> float:
        observations = _equal(noise, count, seeds, studies)
        pairs = combinations(range(count), 2)
        verdicts = decide([judge((((direct_bound(*pair, count),),),), observations) for pair in pairs])
        return 100 * float(np.any(np.stack(verdicts) != 0, axis=0).mean())

    rows = [
        _row(f"{name}; {count} designs", lambda n, f=f, c=count: share(f, c, n))
        for name, f in noises.items()
        for count in designs
    ]
    return Table(name="equal", title="Studies of equal designs with any claim", low=0.0, high=5.0, rows=tuple(rows))


OPPOSED = {**NOISES, "correlated seeds, -0.8": opposed}


def over_seeds(studies: int, noises: Mapping[str, Noise] = OPPOSED) -> Table:
    """Coverage of the interval over seeds of a pair."""

    def covered(noise: Noise, seeds: int) -> float:
        bound = estimate_bound(direct_bound(0, 1, 2), _equal(noise, 2, seeds, studies))
        low, high = widened_interval(bound.seeds, bound.slack)
        inside = np.where(np.isnan(low), bound.seeds.difference == 0, (low <= 0) & (high >= 0))
        return 100 * float(inside.mean())

    rows = [_row(name, lambda n, f=f: covered(f, n)) for name, f in noises.items()]
    title = "Coverage of the 95 % interval over seeds; wider is safe"
    return Table(name="seeds", title=title, low=94.0, high=96.0, rows=tuple(rows))


def over_images(predictions: int, images: Sequence[int] = (360, 2_000, 10_000)) -> Table:
    """Coverage of the difference over all seeds and images by both intervals, from this many predictions per value."""
    rows = []
    for hardness, ease in ((-2.0, 0.0), (-6.0, 0.5)):
        truth = expected_error(0.0, hardness) - expected_error(ease, hardness)
        error = expected_error(0.0, hardness)
        for count in images:
            both = [_covered(predictions, count, n, (0.0, ease), hardness, truth) for n in SEEDS]
            for over, place in (("seeds alone", 0), ("seeds and images", 1)):
                setting = f"{over}; error {error:.0f} %, {count:,} images"
                rows.append(Row(setting=setting, figures=tuple(shares[place] for shares in both)))
    title = "Coverage of the difference on all images of the kind; wider is safe"
    return Table(name="images", title=title, low=94.0, high=96.0, rows=tuple(rows))


def _covered(
    predictions: int, images: int, seeds: int, eases: Sequence[float], hardness: float, truth: float
) -> tuple[float, float]:
    random = np.random.default_rng([images, seeds, int(-hardness)])
    size = images * seeds * len(eases)
    wanted = min(max(predictions // size, 600), 4_000)
    hits, total, studies = np.zeros(2), 0, max(10, AT_ONCE // size)
    while total < wanted:
        drawn = draw_errors(random, studies, images, seeds, eases, hardness)
        values = tuple(100 * design.mean(axis=-1) for design in drawn)
        observations = Observations(values=values, seeds=(0, 0), images=image_draw(drawn))
        bound = estimate_bound(direct_bound(0, 1, 2), observations)
        for place, estimate in enumerate((bound.seeds, bound.images or bound.seeds)):
            low, high = widened_interval(estimate, bound.slack)
            hits[place] += ((low <= truth) & (truth <= high)).sum()
        total += studies
    return float(100 * hits[0] / total), float(100 * hits[1] / total)


def stated_power(studies: int) -> Table:
    """How often a pair that differs by the smallest detectable difference is detected."""

    def power_at(deviations: tuple[float, float], variance: float, seeds: int, others: int = 0) -> float:
        count = 2 + others
        level = CLAIM_LEVEL / (count * (count - 1) / 2)
        allowance = Allowance(variance=variance, images=2_000)
        scheme = WelchScheme(
            weights=(1.0, -1.0),
            deviations=deviations,
            counts=(seeds, seeds),
            pooling="never" if others else "if similar",
            allowance=allowance,
        )
        return detected(deviations, variance, seeds, others, detectable(scheme, level=level))

    def detected(deviations: tuple[float, float], variance: float, seeds: int, others: int, points: float) -> float:
        random = np.random.default_rng([seeds, int(variance * 10), others])
        count = 2 + others
        drawn = normal(random, studies, count, seeds)
        drawn[:, :2] *= np.array(deviations)[:, None]
        drawn[:, 0] += points + np.sqrt(variance) * random.standard_normal((studies, 1))
        draw = ImageDraw(np.diag([variance] + [0.0] * (count - 1)), np.zeros(count), 2_000) if variance else None
        observations = Observations(values=tuple(np.moveaxis(drawn, 1, 0)), seeds=(0,) * count, images=draw)
        pairs = list(combinations(range(count), 2))
        judgement = judge(claim(0, 1, [1.0] * count, [None] * count), observations)
        return 100 * float(((judgement.p <= CLAIM_LEVEL / len(pairs)) & (judgement.sides[0] > 0)).mean())

    def planned(points: float) -> tuple[float, ...]:
        """The power with the number of seeds needed."""
        allowance = Allowance(variance=0.1, images=2_000)
        scheme = WelchScheme(
            weights=(1.0, -1.0), deviations=(1.0, 1.0), counts=(3, 3), pooling="if similar", allowance=allowance
        )
        nets = nets_needed(scheme, points, level=CLAIM_LEVEL)
        return (float("nan"),) * 3 + (detected((1.0, 1.0), 0.1, nets or 2, 0, points),)

    rows = [
        _row("two designs", lambda n: power_at((1.0, 1.0), 0.0, n)),
        _row("two designs, deviations 4 : 1", lambda n: power_at((1.0, 4.0), 0.0, n)),
        _row("two designs, test images as large as a seed", lambda n: power_at((1.0, 1.0), 1.0, n)),
        _row("two designs, test images, 4 : 1", lambda n: power_at((1.0, 4.0), 1.0, n)),
        _row("one of four designs, at Holm's first step", lambda n: power_at((1.0, 1.0), 0.0, n, 2)),
        Row(setting="two designs with the seeds needed for 1.5 sd (last column)", figures=planned(1.5)),
    ]
    title = "Power of the smallest detectable difference, stated as 80 %"
    return Table(name="power", title=title, low=77.0, high=83.0, rows=tuple(rows))


def all_at_once(studies: int, designs: Sequence[int] = (3, 8)) -> Table:
    """The level of the global test, which decides no pair."""

    def overall(noise: Noise, count: int, seeds: int) -> float:
        samples = [moments(values) for values in _equal(noise, count, seeds, studies).values]
        return 100 * float((global_p(samples) <= CLAIM_LEVEL).mean())

    rows = [
        _row(f"{name}; {count} designs", lambda n, f=f, c=count: overall(f, c, n))
        for name, f in NOISES.items()
        for count in designs
    ]
    return Table(name="global", title="False alarms of the global test", low=0.0, high=5.0, rows=tuple(rows))


def other_tests(studies: int) -> Table:
    """The level of a trend over sizes, and of equivalence at its margin."""

    def slope(noise: Noise, sizes: Sequence[float], seeds: int) -> float:
        values = _equal(noise, len(sizes), seeds, studies).values
        with np.errstate(invalid="ignore", divide="ignore"):
            estimate = trend([Size(size, moments(of)) for size, of in zip(sizes, values, strict=True)])
            return 100 * float((np.where(estimate.error > 0, p_value(estimate), 1.0) <= CLAIM_LEVEL).mean())

    def equivalent(noise: Noise, seeds: int) -> float:
        first, second = _equal(noise, 2, seeds, studies).values
        observations = Observations(values=(first + 1.0, second), seeds=(0, 0))
        [p] = holm_by_study([estimate_bound(direct_bound(0, 1, 2), observations).p_within(1.0, "both")])
        return 100 * float((p <= CLAIM_LEVEL).mean())

    rows = [
        *(
            _row(f"trend; {name}; depths {', '.join(map(str, sizes))}", lambda n, f=f, s=sizes: slope(f, s, n))
            for name, f in NOISES.items()
            for sizes in ((8, 56), (8, 20, 56))
        ),
        *(_row(f"equivalence at the margin; {name}", lambda n, f=f: equivalent(f, n)) for name, f in NOISES.items()),
    ]
    return Table(
        name="others",
        title="False alarms of a trend over depths, and of equivalence at a margin that the truth is at",
        low=0.0,
        high=5.0,
        rows=tuple(rows),
    )


def _equal(noise: Noise, designs: int, seeds: int, studies: int) -> Observations:
    drawn: Array = noise(np.random.default_rng([designs, seeds, 7]), studies, designs, seeds)
    return Observations(values=tuple(np.moveaxis(drawn, 1, 0)), seeds=(0,) * designs)


def _row(setting: str, figure: Callable[[int], float]) -> Row:
    return Row(setting=setting, figures=tuple(figure(seeds) for seeds in SEEDS))


STUDIES = 20_000
"""Studies of most tables: the standard error of 5 % is then 0.15 points."""

TABLES: Mapping[str, Callable[[], Table]] = {
    "laws": lambda: false_verdicts(STUDIES // 10),
    "equal": lambda: equal_designs(STUDIES),
    "seeds": lambda: over_seeds(2 * STUDIES),
    "images": lambda: over_images(40_000_000),
    "power": lambda: stated_power(STUDIES),
    "global": lambda: all_at_once(STUDIES),
    "others": lambda: other_tests(STUDIES),
}
"""All tables by name; they take some minutes on one core."""
