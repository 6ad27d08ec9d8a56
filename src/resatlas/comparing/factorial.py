"""The runs of a factorial study as a matrix of cells and blocks, and the effects of its factors on a response."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal, assert_never

from resatlas.arch.cost import cost
from resatlas.comparing.effects import Effect, Effects, Levels, effects_of, logit, ranks, with_covariate
from resatlas.comparing.measures import TEST_ERROR, Measure, value_at_chance, value_of
from resatlas.comparing.run_sets import RunSet
from resatlas.errors import UsageError
from resatlas.runs.collection import Cell, Factor
from resatlas.runs.record import Beginning, RunRecord

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

Scale = Literal["logit", "log", "ranks"]
"""How values become responses: logit of the test error, logarithm of the training loss, or ranks within a block."""

_MOST_DIVERGED = 0.1
"""The share of diverged runs above which ranks replace values."""

_EQUAL_BUDGETS = 0.06
"""Cells count as equal if the largest multiply-adds are at most this much above the smallest: ± 3 %."""


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """The effects of a factorial question, and everything that a reader needs to judge them.

    `values` has a row for each cell and a column for each block. `covariate` has the main effects at equal parameters,
    the slope of log parameters last; None if the parameters follow from the factors.
    """

    title: str
    factors: tuple[Factor, ...]
    measure: Measure
    scale: Scale
    cells: tuple[Cell, ...]
    levels: Levels
    seeds: tuple[int, ...]
    values: "Array"
    effects: Effects
    covariate: tuple[Effect, ...] | None
    multiply_adds: tuple[int, ...]
    parameters: tuple[int, ...]
    left_out: tuple[str, ...]
    """Why blocks are left out, or how values were replaced."""


def factorial(run_set: RunSet, measure: Measure = TEST_ERROR) -> Factorial:
    """The effects of a factorial question from its runs; a block with an unfinished run is left out as a whole.

    A run that diverged counts at chance level. If more than a tenth of the runs diverged, ranks replace the values.
    Raises: UsageError if the question has no factors, no complete block or cells of unequal cost, or if factors alias.
    """
    question = run_set.question
    if not question.factors:
        raise UsageError(f"question {question.name} has no factors; a factorial question lists factors and levels")
    runs = {run.name: run for run in run_set.runs}
    lost = {run.folder.name: run for run in run_set.diverged}
    seeds, notes = _complete(question.cells, {*runs, *lost})
    if not seeds:
        raise UsageError(f"question {question.name}: no block is complete; {'; '.join(notes)}")
    levels = _levels(question.factors, question.cells)
    import numpy as np

    known: Mapping[str, RunRecord | Beginning] = {**lost, **runs}
    table = [[known[cell.by_seed[seed]] for seed in seeds] for cell in question.cells]
    diverged = [run.folder.name for row in table for run in row if isinstance(run, Beginning)]
    costs = [cost((run if isinstance(run, Beginning) else run.beginning).plan) for run, *_ in table]
    _check_budgets(question.name, question.cells, [total.multiply_adds for total in costs])
    scale = _scale(measure, diverged=len(diverged) / (len(table) * len(seeds)))
    values = np.array([[_response(run, measure, scale) for run in row] for row in table])
    if scale == "ranks":
        values = ranks(values)
    if diverged:
        notes = (*notes, f"diverged, counted at chance level: {', '.join(diverged)}")
    return Factorial(
        title=question.title,
        factors=question.factors,
        measure=measure,
        scale=scale,
        cells=question.cells,
        levels=levels,
        seeds=seeds,
        values=values,
        effects=effects_of(levels, values),
        covariate=_at_equal_parameters(levels, values, [total.parameters for total in costs]),
        multiply_adds=tuple(total.multiply_adds for total in costs),
        parameters=tuple(total.parameters for total in costs),
        left_out=notes,
    )


def _complete(cells: Sequence[Cell], ended: set[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The seeds whose block is complete, and a sentence for each block that is not."""
    by_seed = {
        seed: [cell.by_seed.get(seed) for cell in cells]
        for seed in dict.fromkeys(chain(*(cell.seeds for cell in cells)))
    }
    missing = {seed: sum(name not in ended for name in names) for seed, names in by_seed.items()}
    notes = tuple(
        f"block of seed {seed} left out: {count} of {len(cells)} runs not finished"
        for seed, count in missing.items()
        if count
    )
    return tuple(seed for seed, count in missing.items() if not count), notes


def _levels(factors: Sequence[Factor], cells: Sequence[Cell]) -> Levels:
    return {
        factor.name: tuple(1 if cell.levels[place] == "+" else -1 for cell in cells)
        for place, factor in enumerate(factors)
    }


def _check_budgets(name: str, cells: Sequence[Cell], multiply_adds: Sequence[int]) -> None:
    low, high = min(multiply_adds), max(multiply_adds)
    if high > (1 + _EQUAL_BUDGETS) * low:
        cheap, dear = (cells[multiply_adds.index(amount)].levels for amount in (low, high))
        raise UsageError(
            f"question {name}: cells need equal multiply-adds within 3 % of their middle; {cheap} has {low:,}, "
            f"{dear} has {high:,}"
        )


def _scale(measure: Measure, *, diverged: float) -> Scale:
    if diverged > _MOST_DIVERGED:
        return "ranks"
    match measure.metric:
        case "test_error":
            return "logit"
        case "train_loss" | "time_to_error":
            return "log"
        case _:
            assert_never(measure.metric)


def _response(run: RunRecord | Beginning, measure: Measure, scale: Scale) -> float:
    if isinstance(run, Beginning):
        value, images = value_at_chance(run, measure), 1_000_000
    else:
        value, images = value_of(run, measure), run.outcome.test.images
    match scale:
        case "logit":
            return logit(round(value / 100 * images), images)
        case "log":
            return math.log(max(value, 1e-12))
        case "ranks":
            return value
        case _:
            assert_never(scale)


def _at_equal_parameters(levels: Levels, values: "Array", parameters: Sequence[int]) -> tuple[Effect, ...] | None:
    """The main effects with log parameters as a covariate; None if they cannot be separated."""
    try:
        return with_covariate(levels, values, [math.log(count) for count in parameters])
    except UsageError:
        return None


def supported(effects: Sequence[Effect]) -> Iterator[Effect]:
    """The effects that are significant by Holm within their order."""
    from resatlas.comparing.statistics import LEVEL

    yield from (effect for effect in effects if effect.adjusted <= LEVEL)
