"""The runs of a factorial study as a matrix of cells and blocks, and the effects of its factors on a response."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never

from resatlas.arch.cost import cost
from resatlas.comparing.blocks import beginning_of, blocks_of
from resatlas.comparing.effects import Effect, Effects, Levels, columns, effects_of, logit, ranks, with_covariate
from resatlas.comparing.measures import TEST_ERROR, Measure, value_at_chance, value_of
from resatlas.comparing.run_sets import RunSet
from resatlas.errors import UsageError
from resatlas.runs.collection import Cell, Factor, Question
from resatlas.runs.record import Beginning, RunRecord
from resatlas.values.language import said

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

Scale = Literal["logit", "log", "ranks"]
"""How values become responses: logit of the test error, logarithm of the training loss, or ranks within a block."""

_MOST_DIVERGED = 0.1
"""The share of diverged runs above which ranks replace values."""

_EQUAL_BUDGETS = 0.06
"""Cells count as equal if the largest multiply-adds are at most this much above the smallest: ± 3 %."""


class CellResult(NamedTuple):
    """A cell with its design, its cost, and its response in each block."""

    levels: str
    design: str
    multiply_adds: int
    parameters: int
    responses: "Array"


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """The effects of a factorial question, and everything that a reader needs to judge them.

    `values` has a row for each cell and a column for each block, `designs` the design of each cell. `covariate` has the
    main effects at equal parameters, the slope of log parameters last; None if the parameters follow from the factors.
    """

    title: str
    factors: tuple[Factor, ...]
    measure: Measure
    scale: Scale
    cells: tuple[Cell, ...]
    designs: tuple[str, ...]
    levels: Levels
    seeds: tuple[int, ...]
    values: "Array"
    effects: Effects
    covariate: tuple[Effect, ...] | None
    multiply_adds: tuple[int, ...]
    parameters: tuple[int, ...]
    left_out: tuple[str, ...]
    """Why blocks are left out, or how values were replaced."""

    @property
    def results(self) -> tuple[CellResult, ...]:
        """The cells in their order, each with what is known of it."""
        levels = [cell.levels for cell in self.cells]
        columns = (levels, self.designs, self.multiply_adds, self.parameters, self.values)
        return tuple(map(CellResult, *columns))


def factorial(run_set: RunSet, measure: Measure = TEST_ERROR) -> Factorial:
    """The effects of a factorial question from its runs; a block with an unfinished run is left out as a whole.

    A run that diverged counts at chance level. If more than a tenth of the runs diverged, ranks replace the values.
    Raises: UsageError if the question has no factors, or cells of unequal cost, if factors alias, or as `blocks_of`;
        FolderError if a run does not have the measure.
    """
    question = run_set.question
    if not question.factors:
        raise UsageError(f"question {question.name} has no factors; a factorial question lists factors and levels")
    columns(_levels(question.factors, question.cells))  # which refuses factors that alias, before any run counts
    blocks = blocks_of(run_set)
    diverged = [run.folder.name for row in blocks.runs for run in row if isinstance(run, Beginning)]
    first = [beginning_of(row[0]) for row in blocks.runs]
    costs = [cost(run.plan) for run in first]
    scale = scale_of(measure, diverged=len(diverged) / sum(map(len, blocks.runs)))
    return factorial_of_values(
        question,
        measure,
        scale,
        seeds=blocks.seeds,
        values=[[_response(run, measure, scale) for run in row] for row in blocks.runs],
        designs=[run.experiment.design for run in first],
        multiply_adds=[total.multiply_adds for total in costs],
        parameters=[total.parameters for total in costs],
        left_out=blocks.left_out,
        diverged=diverged,
    )


def factorial_of_values(
    question: Question,
    measure: Measure,
    scale: Scale,
    *,
    seeds: Sequence[int],
    values: Sequence[Sequence[float]],
    designs: Sequence[str],
    multiply_adds: Sequence[int],
    parameters: Sequence[int],
    left_out: Sequence[str],
    diverged: Sequence[str],
) -> Factorial:
    """The effects of a factorial question from a response for each cell and, in its row, each block.

    `left_out` has a sentence for each incomplete block, `diverged` the runs whose response is that of chance.

    Raises: UsageError for factors that alias, or cells of unequal cost.
    """
    import numpy as np

    levels = _levels(question.factors, question.cells)
    _check_budgets(question.name, question.cells, multiply_adds)
    at_chance = [said("diverged, counted at chance level: {runs}", runs=said(", ").join(diverged))] if diverged else []
    matrix = ranks(np.array(values)) if scale == "ranks" else np.array(values)
    return Factorial(
        title=question.title,
        factors=question.factors,
        measure=measure,
        scale=scale,
        cells=question.cells,
        designs=tuple(designs),
        levels=levels,
        seeds=tuple(seeds),
        values=matrix,
        effects=effects_of(levels, matrix),
        covariate=_at_equal_parameters(levels, matrix, parameters),
        multiply_adds=tuple(multiply_adds),
        parameters=tuple(parameters),
        left_out=(*left_out, *at_chance),
    )


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


def scale_of(measure: Measure, *, diverged: float) -> Scale:
    """How the values of a measure become responses if this share of the runs diverged."""
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
    return response(value, images, scale)


def response(value: float, images: int, scale: Scale) -> float:
    """The response of a value of the measure; `images` are the test images, of which an error in percent is a share."""
    match scale:
        case "logit":
            return logit(round(value / 100 * images), images)
        case "log":
            return math.log(max(value, 1e-12))
        case "ranks":
            return value
        case _:
            assert_never(scale)


def measured(response: float, scale: Scale) -> float | None:
    """A response in the unit of its measure, as an error in percent; None for ranks."""
    match scale:
        case "logit":
            return 100 / (1 + math.exp(-response))
        case "log":
            return math.exp(response)
        case "ranks":
            return None
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
