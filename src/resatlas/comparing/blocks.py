"""The runs of a factorial question as cells by blocks: the complete blocks, and whether all runs are of one plan."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from resatlas.comparing.rows import data_identity
from resatlas.comparing.run_sets import RunSet
from resatlas.comparing.words import presentable
from resatlas.errors import UsageError
from resatlas.runs.collection import Cell, Question
from resatlas.runs.record import Beginning, RunRecord
from resatlas.values.language import said, with_and

_ANOTHER_PLAN = "the folder has runs of another plan"


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The runs of the complete blocks: a row for each cell, a column for each of `seeds`.

    A run that diverged is there with its beginning. `left_out` has a sentence for each incomplete block.
    """

    seeds: tuple[int, ...]
    runs: tuple[tuple[RunRecord | Beginning, ...], ...]
    left_out: tuple[str, ...]


def blocks_of(run_set: RunSet) -> Blocks:
    """The complete blocks of a factorial question; a block with an unfinished run is left out as a whole.

    Raises: UsageError if cells have different seeds, no block is complete, or the runs are not of one plan.
    """
    question = run_set.question
    _check_seeds(question)
    known: Mapping[str, RunRecord | Beginning] = {
        **{run.folder.name: run for run in run_set.diverged},
        **{run.name: run for run in run_set.runs},
    }
    seeds, left_out = complete_blocks(question, known)
    runs = tuple(tuple(known[cell.by_seed[seed]] for seed in seeds) for cell in question.cells)
    _check_plan(question, seeds, [tuple(map(beginning_of, row)) for row in runs])
    return Blocks(seeds=seeds, runs=runs, left_out=left_out)


def complete_blocks(question: Question, known: Container[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The seeds whose run is known in every cell, and a sentence for each other seed.

    Raises: UsageError if no block is complete.
    """
    missing = {
        seed: sum(cell.by_seed[seed] not in known for cell in question.cells) for seed in question.cells[0].seeds
    }
    left_out = tuple(
        said(
            "block of seed {seed} left out: {count} of {cells} runs not finished",
            seed=seed,
            count=count,
            cells=len(question.cells),
        )
        for seed, count in missing.items()
        if count
    )
    seeds = tuple(seed for seed, count in missing.items() if not count)
    if not seeds:
        raise UsageError(f"question {question.name}: no block is complete; {'; '.join(left_out)}")
    return seeds, left_out


def beginning_of(run: RunRecord | Beginning) -> Beginning:
    """The beginning of a run, finished or not."""
    return run if isinstance(run, Beginning) else run.beginning


def _check_seeds(question: Question) -> None:
    """Refuse cells of different seeds: their blocks would not have a run of every cell."""
    first = question.cells[0]
    for cell in question.cells:
        if set(cell.seeds) != set(first.seeds):
            raise UsageError(
                f"question {question.name}: cells need the same seeds; {first.levels} has {_seeds(first)}, "
                f"{cell.levels} has {_seeds(cell)}"
            )


def _seeds(cell: Cell) -> str:
    return ", ".join(map(str, sorted(cell.seeds))) or "none"


def _check_plan(question: Question, seeds: Sequence[int], rows: Sequence[Sequence[Beginning]]) -> None:
    """Refuse runs of other seeds than those of their blocks, and runs that differ in more than the design."""
    first = rows[0][0]
    for cell, row in zip(question.cells, rows, strict=True):
        for seed, run in zip(seeds, row, strict=True):
            name = presentable(run.folder.name)
            if run.experiment.seed != seed:
                raise UsageError(
                    f"question {question.name}: {name} has seed {run.experiment.seed}, and its cell {cell.levels} "
                    f"lists it under seed {seed}; {_ANOTHER_PLAN}"
                )
            if run.network != row[0].network:
                raise UsageError(
                    f"question {question.name}: {presentable(row[0].folder.name)} and {name}, both of cell "
                    f"{cell.levels}, are different networks; {_ANOTHER_PLAN}"
                )
            if different := _different(first, run):
                raise UsageError(
                    f"question {question.name}: {presentable(first.folder.name)} and {name} differ in "
                    f"{with_and(different)}; cells may differ in their designs only, so {_ANOTHER_PLAN}"
                )


def _different(one: Beginning, other: Beginning) -> list[str]:
    """What of the training differs between two runs, in words."""
    ours, theirs = one.experiment, other.experiment
    equal = {
        "data": data_identity(one) == data_identity(other),
        "recipe": ours.recipe == theirs.recipe,
        "initial weights": ours.weights == theirs.weights,
    }
    return [name for name, same in equal.items() if not same]
