"""Effects of a two-level factorial study: which of the factors move the response, by how much, and how certainly.

Every cell has a level, -1 or +1, of each factor, and one value for each block (a seed). An effect is the mean at +1
less the mean at -1 of its column; the column of an interaction is the product of two.

    value = block + sum over columns of effect/2 * level + residual
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

from resatlas.comparing.statistics import LEVEL, holm
from resatlas.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

Levels = Mapping[str, tuple[int, ...]]
"""The level of each factor in each cell, -1 or +1, cells in one order."""

Order = Literal["main", "interaction"]

_ROUNDING = 1e-9
"""Residuals within this share of the largest value are rounding errors of a model that fits every value."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of one column, with its interval and p; `adjusted` is Holm's p among the effects of its order."""

    factors: tuple[str, ...]
    estimate: float
    low: float
    high: float
    p: float
    adjusted: float

    @property
    def name(self) -> str:
        """The factors, as in widths x streams."""
        return " x ".join(self.factors)

    @property
    def order(self) -> Order:
        """Whether it is the effect of a factor or of two together."""
        return "main" if len(self.factors) == 1 else "interaction"


class Lenth(NamedTuple):
    """Lenth's pseudo standard error of an effect, and the margins of one effect and of all effects at once.

    Source: R. V. Lenth, Quick and easy analysis of unreplicated factorials, Technometrics 31 (1989), equations 1 to 5.
    """

    error: float
    margin: float
    simultaneous: float


class Checks(NamedTuple):
    """What the residuals say of the model: Shapiro-Wilk's p, Brown-Forsythe's p over the cells, the largest residual.

    The largest is in standard deviations. Brown-Forsythe's p is None with fewer than three blocks, or without spread.
    """

    normal_p: float
    variance_p: float | None
    largest: float
    largest_cell: int
    largest_block: int


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The effects of all factors and pairs of factors, main effects first, with what tells how far to trust them."""

    effects: tuple[Effect, ...]
    deviation: float
    """Standard deviation of a single value about the model."""
    degrees: int
    lenth: Lenth
    checks: Checks


def columns(levels: Levels) -> "dict[tuple[str, ...], Array]":
    """The columns of all factors and of all pairs, by their factors.

    Raises: UsageError if a factor has one level only, cells repeat, or two columns are equal up to their sign, so that
        their effects cannot be separated.
    """
    import numpy as np

    single: dict[tuple[str, ...], Array] = {(name,): np.array(level, float) for name, level in levels.items()}
    pairs = {(*a, *b): single[a] * single[b] for a, b in combinations(single, 2)}
    every = single | pairs
    for (name,), column in single.items():
        if set(column.tolist()) != {-1.0, 1.0}:
            raise UsageError(f"factor {name} has one level in all cells; an effect needs both, - and +")
    cells = list(zip(*levels.values(), strict=True))
    if len(set(cells)) < len(cells):
        raise UsageError(f"two cells have the levels {_signs(max(cells, key=cells.count))}; each is listed once")
    for (name,), column in single.items():
        if column.sum():
            raise UsageError(f"factor {name} has + in {(column > 0).sum()} of {len(column)} cells; half are expected")
    for (one, first), (other, second) in combinations(every.items(), 2):
        if abs(first @ second) == len(first):
            raise UsageError(f"factors alias: {_words(one)} and {_words(other)} have the same levels in all cells")
        if first @ second:
            raise UsageError(f"{_words(one)} and {_words(other)} are not balanced against each other over the cells")
    return every


def _signs(levels: Sequence[int]) -> str:
    return "".join("+" if level > 0 else "-" for level in levels)


def _words(factors: Sequence[str]) -> str:
    return " x ".join(factors)


def effects_of(levels: Levels, values: "Array") -> Effects:
    """The effects of a study whose `values` have a row for each cell and a column for each block.

    With several blocks the deviation comes from the residuals about cells and blocks. With one block it comes from
    Lenth's pseudo standard error, with a third of the number of effects as degrees of freedom.

    Shape: values (cells, blocks).
    Raises: UsageError for values that do not belong to the cells, and as `columns`.
    """
    import numpy as np

    every = columns(levels)
    if values.ndim != 2 or len(values) != len(next(iter(every.values()))):
        raise UsageError(f"the study has {len(next(iter(every.values())))} cells, the values have shape {values.shape}")
    cells, blocks = values.shape
    estimates = [float(2 * (column @ values.mean(axis=1)) / cells) for column in every.values()]
    residuals = values - fitted(levels, values)
    pseudo = lenth(estimates)
    degrees = cells * blocks - blocks - len(every)
    if blocks > 1:
        deviation = math.sqrt(float(np.sum(residuals**2)) / degrees)
        error = 2 * deviation / math.sqrt(cells * blocks)
    else:
        error, degrees = pseudo.error, max(len(every) // 3, 1)
        deviation = error * math.sqrt(cells) / 2
    return Effects(
        effects=tuple(_tested(list(every), estimates, error, degrees)),
        deviation=deviation,
        degrees=degrees,
        lenth=pseudo,
        checks=_checks(residuals, deviation, scale=float(np.abs(values).max())),
    )


def fitted(levels: Levels, values: "Array") -> "Array":
    """The values that the model gives: the mean of the block, and half of each effect with the sign of its column.

    Shape: (cells, blocks), as `values`.
    """
    cells = len(values)
    every = columns(levels).values()
    return values.mean(axis=0) + sum(column[:, None] * float(column @ values.mean(axis=1)) / cells for column in every)


def _tested(names: Sequence[tuple[str, ...]], estimates: Sequence[float], error: float, degrees: int) -> list[Effect]:
    """Each effect with its t interval and p; Holm's among the main effects, and among the interactions."""
    from scipy import stats

    if error:
        chances = [float(2 * stats.t.sf(abs(estimate) / error, degrees)) for estimate in estimates]
    else:  # values without any spread: an effect is certain, or there is none
        chances = [0.0 if estimate else 1.0 for estimate in estimates]
    reach = float(stats.t.isf(LEVEL / 2, degrees)) * error
    mains = sum(len(factors) == 1 for factors in names)
    adjusted = [*holm(chances[:mains]), *holm(chances[mains:])]
    return [
        Effect(factors=factors, estimate=estimate, low=estimate - reach, high=estimate + reach, p=p, adjusted=holms)
        for factors, estimate, p, holms in zip(names, estimates, chances, adjusted, strict=True)
    ]


def lenth(estimates: Sequence[float]) -> Lenth:
    """Lenth's margins: 1.5 times the median of the absolute effects below 2.5 times 1.5 times their median."""
    import numpy as np
    from scipy import stats

    sizes = np.abs(estimates)
    first = 1.5 * np.median(sizes)
    error = float(1.5 * np.median(sizes[sizes < 2.5 * first])) if first else 0.0
    degrees = len(estimates) / 3
    together = (1 + (1 - LEVEL) ** (1 / len(estimates))) / 2
    return Lenth(
        error, float(stats.t.ppf(1 - LEVEL / 2, degrees)) * error, float(stats.t.ppf(together, degrees)) * error
    )


def half_normal(effects: Sequence[Effect]) -> list[tuple[float, Effect]]:
    """Each effect, smallest first, with the quantile of the half normal distribution where noise of its rank lies."""
    from scipy import stats

    ranked = sorted(effects, key=lambda effect: abs(effect.estimate))
    count = len(ranked)
    return [(float(stats.norm.ppf(0.5 + 0.5 * (k + 0.5) / count)), effect) for k, effect in enumerate(ranked)]


def means_of(levels: Levels, values: "Array", one: str, other: str) -> dict[tuple[int, int], float]:
    """The mean response at each pair of levels of two factors: what a plot of their interaction shows."""
    import numpy as np

    first, second = np.array(levels[one]), np.array(levels[other])
    return {(a, b): float(values[(first == a) & (second == b)].mean()) for a in (-1, 1) for b in (-1, 1)}


def with_covariate(levels: Levels, values: "Array", covariate: Sequence[float]) -> tuple[Effect, ...]:
    """The main effects at an equal covariate, then the covariate's own slope, named last.

    The response of each cell, its mean over the blocks, is fitted by the mean, the main effects and the covariate. The
    interactions are the error: a covariate of cells leaves no room beside all of them.
    Raises: UsageError if the covariate follows from the factors, or the cells are too few.
    """
    import numpy as np
    from scipy import stats

    responses = values.mean(axis=1)
    centred = np.array(covariate, float) - np.mean(covariate)
    design = np.column_stack([np.ones(len(responses)), *(np.array(level) / 2 for level in levels.values()), centred])
    degrees = len(responses) - design.shape[1]
    if degrees < 1:
        raise UsageError(f"{len(responses)} cells are too few for {len(levels)} factors and a covariate")
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise UsageError("the covariate follows from the factors; its effect cannot be separated from theirs")
    fit, *_ = np.linalg.lstsq(design, responses)
    variance = float(np.sum((responses - design @ fit) ** 2)) / degrees
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance)
    reach = float(stats.t.isf(LEVEL / 2, degrees))
    chances = [
        float(2 * stats.t.sf(abs(value) / error, degrees)) for value, error in zip(fit[1:], errors[1:], strict=True)
    ]
    adjusted = (*holm(chances[:-1]), chances[-1])
    return tuple(
        Effect(
            factors=(name,),
            estimate=float(value),
            low=float(value - reach * error),
            high=float(value + reach * error),
            p=p,
            adjusted=holms,
        )
        for name, value, error, p, holms in zip(
            (*levels, "covariate"), fit[1:], errors[1:], chances, adjusted, strict=True
        )
    )


def logit(wrong: int, images: int) -> float:
    """log((w + 1/2)/(n - w + 1/2)): the logit of an error rate, finite also where none or all are wrong."""
    return math.log((wrong + 0.5) / (images - wrong + 0.5))


def ranks(values: "Array") -> "Array":
    """The rank of each value within its block, from 1; equal values share their mean rank.

    Where many runs diverged, ranks in place of values keep one failure from deciding an effect.
    """
    from scipy import stats

    return stats.rankdata(values, axis=0)


def _checks(residuals: "Array", deviation: float, *, scale: float) -> Checks:
    import numpy as np
    from scipy import stats

    cell, block = np.unravel_index(np.abs(residuals).argmax(), residuals.shape)
    blocks = residuals.shape[1]
    if np.ptp(residuals) <= _ROUNDING * scale:
        return Checks(1.0, None, 0.0, int(cell), int(block))
    constant = np.allclose(np.ptp(residuals, axis=1), 0)  # within each cell: there are no spreads to compare
    return Checks(
        normal_p=float(stats.shapiro(residuals.ravel()).pvalue),
        variance_p=None if blocks < 3 or constant else float(stats.levene(*residuals, center="median").pvalue),
        largest=float(residuals[cell, block] / deviation),
        largest_cell=int(cell),
        largest_block=int(block),
    )
